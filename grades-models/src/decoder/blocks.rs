//! The blocks of a decoder and their linear layers.

use grades_lora::LinearLayers;

use super::block::Block;

/// The blocks, apart from the variables, so that both can be borrowed.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) list: Vec<Block>,
    /// Whether the output matrix is the embedding.
    pub(super) tied: bool,
}

impl LinearLayers for Blocks {
    fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut grades_lora::Linear)) {
        for (number, block) in self.list.iter_mut().enumerate() {
            block.visit_linear(&mut |name, layer| visit(&format!("model.layers.{number}.{name}"), layer));
        }
    }

    fn tied(&self) -> Vec<(String, String)> {
        let names = ("lm_head.weight".to_owned(), "model.embed_tokens.weight".to_owned());
        if self.tied { vec![names] } else { Vec::new() }
    }
}
