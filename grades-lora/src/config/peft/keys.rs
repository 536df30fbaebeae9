//! The keys of `adapter_config.json`, as PEFT 0.21.2 writes them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::{Init, LoraConfig, Targets};

pub(super) const PEFT_VERSION: &str = "0.21.2";
pub(super) const LORA: &str = "LORA";

/// The values that a key which is not read may have.
pub(super) enum WithoutMeaning {
    /// Anything: it changes nothing about the adapter.
    Whatever,
    /// One of these JSON values.
    Only(&'static [&'static str]),
}

/// Returns the values that a key which is not read may have; `None` when PEFT 0.21.2 has no such key.
pub(super) fn without_meaning(key: &str) -> Option<WithoutMeaning> {
    use WithoutMeaning::{Only, Whatever};
    Some(match key {
        "auto_mapping" | "inference_mode" | "peft_version" | "revision" | "runtime_config" => Whatever,
        // Means something only with megatron_config, and with use_qalora.
        "megatron_core" | "qalora_group_size" => Whatever,
        "fan_in_fan_out" | "lora_bias" | "use_bdlora" | "use_qalora" => Only(&["false", "null"]),
        "alora_invocation_tokens"
        | "arrow_config"
        | "corda_config"
        | "eva_config"
        | "kasa_config"
        | "layer_replication"
        | "lora_ga_config"
        | "megatron_config"
        | "monteclora_config"
        | "target_parameters"
        | "trainable_token_indices"
        | "velora_config" => Only(&["null"]),
        "loftq_config" => Only(&["null", "{}"]),
        _ => return None,
    })
}

/// A name or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Names {
    One(String),
    Many(Vec<String>),
}

impl Names {
    pub(super) fn into_list(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Many(names) => names,
        }
    }
}

/// A number or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Numbers {
    One(u32),
    Many(Vec<u32>),
}

impl Numbers {
    pub(super) fn into_list(self) -> Vec<u32> {
        match self {
            Self::One(number) => vec![number],
            Self::Many(numbers) => numbers,
        }
    }
}

/// An object whose entries stay in their order, as the first expression that matches decides, and have different keys.
pub(super) struct Ordered<T>(pub(super) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(String, T)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, T>()? {
                    if entries.iter().any(|(other, _)| *other == key) {
                        return Err(serde::de::Error::custom(format!("\"{key}\" stands there twice")));
                    }
                    entries.push((key, value));
                }
                Ok(Ordered(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<T: Serialize> Serialize for Ordered<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// A number that Python would write without a point where it is whole.
#[derive(Clone, Copy)]
struct Alpha(f64);

impl Serialize for Alpha {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Up to there every whole f64 is an i64 of the same value.
        if self.0.fract() == 0.0 && self.0.abs() < 9e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// A key that is always null.
type Null = Option<()>;

/// An object without entries.
#[derive(Serialize, Default)]
struct Empty {}

/// All keys, in alphabetical order, which is that of PEFT's files.
#[derive(Serialize)]
pub(super) struct File<'a> {
    alora_invocation_tokens: Null,
    alpha_pattern: Ordered<Alpha>,
    arrow_config: Null,
    auto_mapping: Null,
    base_model_name_or_path: Option<&'a str>,
    bias: &'static str,
    corda_config: Null,
    ensure_weight_tying: bool,
    eva_config: Null,
    exclude_modules: Option<Targeted<'a>>,
    fan_in_fan_out: bool,
    inference_mode: bool,
    init_lora_weights: Start,
    kasa_config: Null,
    layer_replication: Null,
    layers_pattern: Option<&'a [String]>,
    layers_to_transform: Option<&'a [u32]>,
    loftq_config: Empty,
    lora_alpha: Alpha,
    lora_bias: bool,
    lora_dropout: f64,
    lora_ga_config: Null,
    megatron_config: Null,
    megatron_core: &'static str,
    modules_to_save: Option<&'a [String]>,
    monteclora_config: Null,
    peft_type: &'static str,
    peft_version: &'static str,
    qalora_group_size: u32,
    r: i64,
    rank_pattern: Ordered<i64>,
    revision: Null,
    target_modules: Targeted<'a>,
    target_parameters: Null,
    task_type: Option<&'a str>,
    trainable_token_indices: Null,
    use_bdlora: Null,
    use_dora: bool,
    use_qalora: bool,
    use_rslora: bool,
    velora_config: Null,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Targeted<'a> {
    Text(&'a str),
    Names(&'a [String]),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Start {
    Flag(bool),
    Word(&'static str),
}

impl<'a> File<'a> {
    pub(super) fn new(config: &'a LoraConfig) -> Self {
        let targets = |targets: &'a Targets| match targets {
            Targets::AllLinear => Targeted::Text("all-linear"),
            Targets::List(names) => Targeted::Names(names),
            Targets::Pattern(pattern) => Targeted::Text(pattern),
        };
        let some = |names: &'a [String]| (!names.is_empty()).then_some(names);
        let alphas = config.alpha_pattern.iter().map(|(name, alpha)| (name.clone(), Alpha(*alpha)));
        Self {
            alora_invocation_tokens: None,
            alpha_pattern: Ordered(alphas.collect()),
            arrow_config: None,
            auto_mapping: None,
            base_model_name_or_path: config.base_model.as_deref(),
            bias: config.bias.name(),
            corda_config: None,
            ensure_weight_tying: config.ensure_weight_tying,
            eva_config: None,
            exclude_modules: config.exclude_modules.as_ref().map(targets),
            fan_in_fan_out: false,
            // An adapter that is loaded does not train unless asked to.
            inference_mode: true,
            init_lora_weights: match config.init {
                Init::Default => Start::Flag(true),
                Init::Random => Start::Flag(false),
                Init::Gaussian => Start::Word("gaussian"),
            },
            kasa_config: None,
            layer_replication: None,
            layers_pattern: some(&config.layers_pattern),
            // PEFT refuses an empty list beside an expression.
            layers_to_transform: config.layers_to_transform.as_deref().filter(|blocks| !blocks.is_empty()),
            loftq_config: Empty {},
            lora_alpha: Alpha(config.alpha),
            lora_bias: false,
            lora_dropout: config.dropout,
            lora_ga_config: None,
            megatron_config: None,
            megatron_core: "megatron.core",
            modules_to_save: some(&config.modules_to_save),
            monteclora_config: None,
            peft_type: LORA,
            peft_version: PEFT_VERSION,
            qalora_group_size: 16,
            r: config.rank,
            rank_pattern: Ordered(config.rank_pattern.clone()),
            revision: None,
            target_modules: targets(&config.target_modules),
            target_parameters: None,
            task_type: config.task_type.as_deref(),
            trainable_token_indices: None,
            use_bdlora: None,
            use_dora: config.use_dora,
            use_qalora: false,
            use_rslora: config.use_rslora,
            velora_config: None,
        }
    }
}
