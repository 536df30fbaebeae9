//! Keys and values of the tokens so far, so that each is computed once.

use tch::Tensor;

use crate::error::Result;

/// The keys and values of a batch of sequences of one length, for every block.
#[derive(Debug, Default)]
pub struct Cache {
    pub(super) layers: Vec<LayerCache>,
}

impl Cache {
    /// Creates an empty cache for a model of `layers` blocks.
    pub(super) fn new(layers: usize) -> Self {
        Self { layers: (0..layers).map(|_| LayerCache::default()).collect() }
    }

    /// Returns the number of tokens in it.
    pub fn len(&self) -> i64 {
        self.layers.first().map_or(0, |layer| layer.length)
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the sequences at these positions of the batch, in this order.
    pub(super) fn select(&mut self, rows: &Tensor) -> Result<()> {
        for layer in &mut self.layers {
            if let Some((keys, values)) = &layer.room {
                layer.room = Some((keys.f_index_select(0, rows)?, values.f_index_select(0, rows)?));
            }
        }
        Ok(())
    }
}

/// The keys and values of one block.
#[derive(Debug, Default)]
pub(super) struct LayerCache {
    /// `[B, heads, capacity, head_dim]` each, the first `length` positions of which are in use.
    room: Option<(Tensor, Tensor)>,
    length: i64,
}

impl LayerCache {
    /// Appends `[B, heads, T, head_dim]`, and returns all that is there.
    pub(super) fn extend(&mut self, key: &Tensor, value: &Tensor) -> Result<(Tensor, Tensor)> {
        let added = key.size()[2];
        let needed = self.length + added;
        let (keys, values) = match self.room.take() {
            Some((keys, values)) if keys.size()[2] >= needed => (keys, values),
            old => {
                // Twice as much each time, so that appending costs the same on average however long it gets.
                let capacity = (2 * needed).max(64);
                let room = |like: &Tensor, old: Option<&Tensor>| -> Result<Tensor> {
                    let mut size = like.size();
                    size[2] = capacity;
                    let room = Tensor::f_empty(&size, (like.f_kind()?, like.device()))?;
                    if let Some(old) = old {
                        let used = old.f_narrow(2, 0, self.length)?;
                        room.f_narrow(2, 0, self.length)?.f_copy_(&used)?;
                    }
                    Ok(room)
                };
                let (keys, values) = old.map_or((None, None), |(keys, values)| (Some(keys), Some(values)));
                (room(key, keys.as_ref())?, room(value, values.as_ref())?)
            }
        };
        keys.f_narrow(2, self.length, added)?.f_copy_(key)?;
        values.f_narrow(2, self.length, added)?.f_copy_(value)?;
        self.length = needed;
        let all = (keys.f_narrow(2, 0, needed)?, values.f_narrow(2, 0, needed)?);
        self.room = Some((keys, values));
        Ok(all)
    }
}
