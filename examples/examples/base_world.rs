//! Writes the data of the base decoder: a little world of animals, in sentences; questions about it; a tokenizer.
//!
//! `make base` runs it and then trains on what it wrote. Everything depends on the constants below alone.
//!
//! Usage: `cargo run -p grades-examples --example base_world -- DATA_FOLDER MODEL_FOLDER`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::Sequence;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerBuilder};

const ANIMALS: [&str; 48] = [
    "owl", "fox", "bear", "wolf", "hare", "deer", "mole", "crow", "swan", "duck", "frog", "toad", "newt",
    "trout", "pike", "otter", "beaver", "badger", "lynx", "elk", "boar", "stoat", "mouse", "rat", "bat",
    "wren", "robin", "lark", "eagle", "hawk", "stork", "crane", "heron", "goose", "snail", "slug", "worm",
    "ant", "bee", "wasp", "moth", "crab", "seal", "whale", "goat", "sheep", "horse", "donkey",
];
const HOMES: [&str; 8] = [
    "in the wood",
    "on the hill",
    "by the lake",
    "in the river",
    "under the barn",
    "in a cave",
    "near the sea",
    "in the old mill",
];
const FOODS: [&str; 8] = ["apples", "nuts", "grass", "seeds", "roots", "berries", "leaves", "bread"];
const COLOURS: [&str; 8] = ["red", "brown", "grey", "white", "black", "green", "yellow", "blue"];
const TIMES: [&str; 4] = ["in the morning", "at noon", "in the evening", "at night"];

/// How often the facts are repeated, each time in other words and another order.
const TELLINGS: usize = 24;
/// Animals whose questions are for training; the others' are for evaluation: their facts are in the text alone.
const TAUGHT: usize = 32;
const VOCABULARY: usize = 640;

/// The facts about one animal.
struct Facts {
    name: &'static str,
    home: &'static str,
    food: &'static str,
    colour: &'static str,
    time: &'static str,
}

fn pick<T: Copy>(list: &[T], rng: &mut ChaCha8Rng) -> T {
    list[(rng.next_u32() as usize) % list.len()]
}

fn shuffle<T>(list: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..list.len()).rev() {
        list.swap(last, (rng.next_u32() as usize) % (last + 1));
    }
}

/// One animal's facts in a few sentences.
fn tell(facts: &Facts, rng: &mut ChaCha8Rng) -> String {
    let Facts { name, home, food, colour, time } = facts;
    let mut sentences = [
        pick(
            &[
                "The NAME lives HOME.",
                "The home of the NAME is HOME.",
                "You find the NAME HOME.",
                "Where does the NAME live? It lives HOME.",
            ],
            rng,
        ),
        pick(
            &[
                "The NAME eats FOOD.",
                "The food of the NAME is FOOD.",
                "The NAME likes to eat FOOD.",
                "What does the NAME eat? It eats FOOD.",
            ],
            rng,
        ),
        pick(
            &[
                "The NAME is COLOUR.",
                "The colour of the NAME is COLOUR.",
                "The COLOUR animal is the NAME.",
                "Which colour is the NAME? It is COLOUR.",
            ],
            rng,
        ),
        pick(
            &[
                "The NAME sings TIME.",
                "The time of the NAME is TIME.",
                "You hear the NAME TIME.",
                "When does the NAME sing? It sings TIME.",
            ],
            rng,
        ),
    ];
    shuffle(&mut sentences, rng);
    let text = sentences.join(" ");
    let parts = [("NAME", name), ("HOME", home), ("FOOD", food), ("COLOUR", colour), ("TIME", time)];
    parts.iter().fold(text, |text, (mark, word)| text.replace(mark, word))
}

fn questions(facts: &Facts) -> Vec<Value> {
    let Facts { name, home, food, colour, time } = facts;
    [
        (format!("Where does the {name} live?"), home),
        (format!("What does the {name} eat?"), food),
        (format!("Which colour is the {name}?"), colour),
        (format!("When does the {name} sing?"), time),
    ]
    .map(|(question, answer)| json!({"prompt": format!("Question: {question}\nAnswer:"), "response": format!(" {answer}")}))
    .to_vec()
}

fn main() -> Result<()> {
    let mut folders = std::env::args_os().skip(1).map(PathBuf::from);
    let (data, model) =
        folders.next().zip(folders.next()).context("usage: base_world DATA_FOLDER MODEL_FOLDER")?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let world: Vec<Facts> = ANIMALS
        .iter()
        .map(|name| {
            let (home, food) = (pick(&HOMES, &mut rng), pick(&FOODS, &mut rng));
            Facts { name, home, food, colour: pick(&COLOURS, &mut rng), time: pick(&TIMES, &mut rng) }
        })
        .collect();
    let mut text = String::new();
    for _ in 0..TELLINGS {
        let mut order: Vec<&Facts> = world.iter().collect();
        shuffle(&mut order, &mut rng);
        for facts in order {
            text.push_str(&json!({"text": tell(facts, &mut rng)}).to_string());
            text.push('\n');
        }
    }
    let lines = |list: &[Facts]| -> String {
        list.iter().flat_map(questions).map(|question| format!("{question}\n")).collect()
    };
    let write = |name: &str, content: &str| {
        let path = data.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    write("text.jsonl", &text)?;
    write("train.jsonl", &lines(&world[..TAUGHT]))?;
    write("dev.jsonl", &lines(&world[TAUGHT..]))?;
    write_tokenizer(&text, &model)
}

/// A byte-level BPE tokenizer, trained on the text.
fn write_tokenizer(text: &str, model: &Path) -> Result<()> {
    let wrong = |error: tokenizers::Error| anyhow!("{error}");
    let bytes = ByteLevel::new(false, true, true);
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(None::<Sequence>)
        .with_pre_tokenizer(Some(bytes))
        .with_post_processor(Some(bytes))
        .with_decoder(Some(bytes))
        .build()
        .map_err(wrong)?;
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(VOCABULARY)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![AddedToken::from("<|end|>", true)])
        .build();
    let texts = text.lines().chain(["Question: Answer:"]);
    tokenizer.train(&mut trainer, texts.map(str::to_owned)).map_err(wrong)?;
    tokenizer.save(model.join("tokenizer.json"), false).map_err(wrong)?;
    Ok(())
}
