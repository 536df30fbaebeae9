//! How the parameters of known architectures are named.

use std::sync::OnceLock;

use super::ComponentKind::{
    self, Adapter, Down, Embedding, FusedGateUp, FusedQkv, Gate, Head, Key, Norm, Other, Output, Query, Up,
    Value,
};
use super::{ComponentPattern, PatternMatch};

/// The names of one family of architectures, as Hugging Face (and for ViT also timm) write them.
///
/// ```
/// use grades::component::{ComponentKind, Layout};
///
/// let llama = Layout::by_name("llama").ok_or("llama")?;
/// let found = llama.find("model.layers.7.mlp.down_proj.weight").ok_or("no match")?;
/// assert_eq!((found.kind, found.layer), (ComponentKind::Down, Some(7)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Layout {
    name: &'static str,
    summary: &'static str,
    patterns: Vec<ComponentPattern>,
}

impl Layout {
    /// Returns all built-in layouts, in the order in which automatic detection prefers them.
    pub fn all() -> &'static [Layout] {
        static ALL: OnceLock<Vec<Layout>> = OnceLock::new();
        ALL.get_or_init(|| TABLES.iter().map(Layout::compile).collect())
    }

    /// Returns the names of adapters, which all layouts share.
    pub(super) fn adapters() -> &'static Layout {
        static ADAPTERS_ALONE: OnceLock<Layout> = OnceLock::new();
        let none = Table { name: "none", summary: "no names but those of adapters", patterns: &[] };
        ADAPTERS_ALONE.get_or_init(|| Layout::compile(&none))
    }

    /// Returns the layout of a name, such as `bert`.
    pub fn by_name(name: &str) -> Option<&'static Layout> {
        Self::all().iter().find(|layout| layout.name == name)
    }

    /// Returns the name by which a configuration asks for it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the architectures that it covers, in one line.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// Classifies a parameter by its name. The last matching pattern wins.
    pub fn find(&self, name: &str) -> Option<PatternMatch> {
        self.patterns.iter().rev().find_map(|pattern| pattern.find(name))
    }

    fn compile(table: &Table) -> Layout {
        let patterns = table
            .patterns
            .iter()
            .chain(ADAPTERS)
            // The tables are constants, all of which a test compiles.
            .filter_map(|(source, kind)| ComponentPattern::new(source, *kind).ok())
            .collect();
        Layout { name: table.name, summary: table.summary, patterns }
    }
}

struct Table {
    name: &'static str,
    summary: &'static str,
    patterns: &'static [(&'static str, ComponentKind)],
}

/// The tensors of an adapter, as PEFT names them, with or without the adapter's name: the matrices A and B and DoRA's
/// magnitudes of one layer are one component. The second pattern also reads the number of the block.
const ADAPTERS: &[(&str, ComponentKind)] = &[
    (r"(?<component>.+)\.lora_(?:[AB]|magnitude_vector)(?:\.[^.]+)?(?:\.weight)?", Adapter),
    (
        r"(?<component>(?:.*\.)?(?:layers|layer|h|blocks)\.(?<layer>\d+)\..+)\.lora_(?:[AB]|magnitude_vector)(?:\.[^.]+)?(?:\.weight)?",
        Adapter,
    ),
];

const TABLES: &[Table] = &[
    Table {
        name: "llama",
        summary: "Llama, Mistral, Qwen: separate projections, gated feed-forward network",
        patterns: &[
            (r"(?:.*\.)?layers\.(?<layer>\d+)\..+", Other),
            (r"(?:.*\.)?embed_tokens\.weight", Embedding),
            (r"(?:.*\.)?lm_head\.weight", Head),
            (r"(?:.*\.)?score\.weight", Head),
            (r"(?:.*\.)?norm\.(?:weight|bias)", Norm),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\..*(?:norm|layernorm)\.(?:weight|bias)", Norm),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\.self_attn\.q_proj\.weight", Query),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\.self_attn\.k_proj\.weight", Key),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\.self_attn\.v_proj\.weight", Value),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\.self_attn\.o_proj\.weight", Output),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\.mlp\.gate_proj\.weight", Gate),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\.mlp\.up_proj\.weight", Up),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\.mlp\.down_proj\.weight", Down),
        ],
    },
    Table {
        name: "phi3",
        summary: "Phi-3, Phi-4: fused query-key-value and gate-up",
        patterns: &[
            (r"(?:.*\.)?layers\.(?<layer>\d+)\..+", Other),
            (r"(?:.*\.)?embed_tokens\.weight", Embedding),
            (r"(?:.*\.)?lm_head\.weight", Head),
            (r"(?:.*\.)?norm\.(?:weight|bias)", Norm),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\..*(?:norm|layernorm)\.(?:weight|bias)", Norm),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\.self_attn\.qkv_proj\.weight", FusedQkv),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\.self_attn\.o_proj\.weight", Output),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\.mlp\.gate_up_proj\.weight", FusedGateUp),
            (r"(?:.*\.)?layers\.(?<layer>\d+)\.mlp\.down_proj\.weight", Down),
        ],
    },
    Table {
        name: "gpt2",
        summary: "GPT-2: fused query-key-value, plain feed-forward network",
        patterns: &[
            (r"(?:.*\.)?h\.(?<layer>\d+)\..+", Other),
            (r"(?:.*\.)?w[tp]e\.weight", Embedding),
            (r"(?:.*\.)?lm_head\.weight", Head),
            (r"(?:.*\.)?score\.weight", Head),
            (r"(?:.*\.)?ln_f\.(?:weight|bias)", Norm),
            (r"(?:.*\.)?h\.(?<layer>\d+)\.ln_\d\.(?:weight|bias)", Norm),
            (r"(?:.*\.)?h\.(?<layer>\d+)\.attn\.c_attn\.weight", FusedQkv),
            (r"(?:.*\.)?h\.(?<layer>\d+)\.attn\.c_proj\.weight", Output),
            (r"(?:.*\.)?h\.(?<layer>\d+)\.mlp\.c_fc\.weight", Up),
            (r"(?:.*\.)?h\.(?<layer>\d+)\.mlp\.c_proj\.weight", Down),
        ],
    },
    Table {
        name: "bert",
        summary: "BERT, RoBERTa, MiniLM: encoder blocks with plain feed-forward networks",
        patterns: &[
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\..+", Other),
            (r"(?:.*\.)?embeddings\.\w+_embeddings\.weight", Embedding),
            (r"(?:.*\.)?pooler\.dense\.weight", Head),
            (r"(?:.*\.)?classifier(?:\..+)?\.weight", Head),
            (r"(?:.*\.)?cls\..*\.weight", Head),
            (r"(?:.*\.)?LayerNorm\.(?:weight|bias|gamma|beta)", Norm),
            (r"(?:.*\.)?embeddings\.LayerNorm\.(?:weight|bias|gamma|beta)", Embedding),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\..*LayerNorm\.(?:weight|bias|gamma|beta)", Norm),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.attention\.self\.query\.weight", Query),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.attention\.self\.key\.weight", Key),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.attention\.self\.value\.weight", Value),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.attention\.output\.dense\.weight", Output),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.intermediate\.dense\.weight", Up),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.output\.dense\.weight", Down),
        ],
    },
    Table {
        name: "vit",
        summary: "ViT and DeiT, as Hugging Face and as timm name them",
        patterns: &[
            (r"(?:.*\.)?(?:encoder\.layer|blocks)\.(?<layer>\d+)\..+", Other),
            (r"(?:.*\.)?patch_embed(?:dings)?\.proj(?:ection)?\.(?:weight|bias)", Embedding),
            (
                r"(?:.*\.)?(?:cls_token|pos_embed|position_embeddings|dist_token|distillation_token)",
                Embedding,
            ),
            (r"(?:.*\.)?(?:classifier|head|head_dist|cls_classifier|distillation_classifier)\.weight", Head),
            (r"(?:.*\.)?pooler\.dense\.weight", Head),
            (r"(?:.*\.)?(?:layernorm|norm|fc_norm)\.(?:weight|bias)", Norm),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.layernorm_(?:before|after)\.(?:weight|bias)", Norm),
            (r"(?:.*\.)?blocks\.(?<layer>\d+)\.norm\d\.(?:weight|bias)", Norm),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.attention\.attention\.query\.weight", Query),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.attention\.attention\.key\.weight", Key),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.attention\.attention\.value\.weight", Value),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.attention\.output\.dense\.weight", Output),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.intermediate\.dense\.weight", Up),
            (r"(?:.*\.)?encoder\.layer\.(?<layer>\d+)\.output\.dense\.weight", Down),
            (r"(?:.*\.)?blocks\.(?<layer>\d+)\.attn\.qkv\.weight", FusedQkv),
            (r"(?:.*\.)?blocks\.(?<layer>\d+)\.attn\.proj\.weight", Output),
            (r"(?:.*\.)?blocks\.(?<layer>\d+)\.mlp\.fc1\.weight", Up),
            (r"(?:.*\.)?blocks\.(?<layer>\d+)\.mlp\.fc2\.weight", Down),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_pattern_compiles() {
        for table in TABLES {
            for (source, kind) in table.patterns.iter().chain(ADAPTERS) {
                ComponentPattern::new(source, *kind).unwrap();
            }
        }
    }

    #[test]
    fn names_of_published_models_are_known() {
        struct Case {
            layout: &'static str,
            name: &'static str,
            kind: ComponentKind,
            layer: Option<u32>,
        }
        let cases = [
            Case {
                layout: "llama",
                name: "model.layers.31.self_attn.q_proj.weight",
                kind: Query,
                layer: Some(31),
            },
            Case {
                layout: "llama",
                name: "model.layers.0.self_attn.q_norm.weight",
                kind: Norm,
                layer: Some(0),
            },
            Case {
                layout: "llama",
                name: "model.layers.0.post_attention_layernorm.weight",
                kind: Norm,
                layer: Some(0),
            },
            Case { layout: "llama", name: "model.norm.weight", kind: Norm, layer: None },
            Case { layout: "llama", name: "lm_head.weight", kind: Head, layer: None },
            Case {
                layout: "phi3",
                name: "model.layers.39.mlp.gate_up_proj.weight",
                kind: FusedGateUp,
                layer: Some(39),
            },
            Case {
                layout: "phi3",
                name: "model.layers.39.self_attn.qkv_proj.weight",
                kind: FusedQkv,
                layer: Some(39),
            },
            Case {
                layout: "gpt2",
                name: "transformer.h.11.attn.c_attn.weight",
                kind: FusedQkv,
                layer: Some(11),
            },
            Case { layout: "gpt2", name: "transformer.h.11.mlp.c_proj.weight", kind: Down, layer: Some(11) },
            Case { layout: "gpt2", name: "h.2.attn.c_proj.weight", kind: Output, layer: Some(2) },
            Case {
                layout: "bert",
                name: "bert.encoder.layer.5.attention.output.dense.weight",
                kind: Output,
                layer: Some(5),
            },
            Case {
                layout: "bert",
                name: "bert.encoder.layer.5.output.dense.weight",
                kind: Down,
                layer: Some(5),
            },
            Case {
                layout: "bert",
                name: "bert.encoder.layer.5.output.LayerNorm.weight",
                kind: Norm,
                layer: Some(5),
            },
            Case { layout: "bert", name: "embeddings.word_embeddings.weight", kind: Embedding, layer: None },
            Case {
                layout: "bert",
                name: "roberta.encoder.layer.1.intermediate.dense.weight",
                kind: Up,
                layer: Some(1),
            },
            Case {
                layout: "vit",
                name: "vit.encoder.layer.3.attention.attention.key.weight",
                kind: Key,
                layer: Some(3),
            },
            Case { layout: "vit", name: "blocks.3.attn.qkv.weight", kind: FusedQkv, layer: Some(3) },
            Case { layout: "vit", name: "patch_embed.proj.weight", kind: Embedding, layer: None },
        ];
        for Case { layout, name, kind, layer } in cases {
            let found = Layout::by_name(layout).unwrap().find(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!((found.kind, found.layer), (kind, layer), "{layout}: {name}");
        }
    }

    #[test]
    fn the_matrices_of_an_adapter_share_a_component() {
        let layout = Layout::by_name("llama").unwrap();
        let a =
            layout.find("base_model.model.model.layers.2.self_attn.q_proj.lora_A.default.weight").unwrap();
        let b =
            layout.find("base_model.model.model.layers.2.self_attn.q_proj.lora_B.default.weight").unwrap();
        assert_eq!(a, b);
        assert_eq!((a.kind, a.layer), (Adapter, Some(2)));
        assert_eq!(a.component, "base_model.model.model.layers.2.self_attn.q_proj");
    }
}
