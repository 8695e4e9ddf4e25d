/** Other attention in trained models. */

import { check, wholeFrom, checkNumbers } from "@x/tensor/checks";
import type { AttentionMechanism, Module } from "@x/tensor/nn";
import { TransformerConfig } from "../config/transformer-config.js";
import type { AttentionSpec } from "../config/fields.js";
import { MultiHeadAttention } from "../model/attention.js";
import { makeNorm } from "../model/norm.js";
import { mechanismOf } from "../model/parts.js";
