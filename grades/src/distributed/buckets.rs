//! Which gradients travel together.

use tch::{Device, Kind};

use super::sharding::Sharding;

/// How the gradients of a step are sent: many in one message, a *bucket*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    pub(super) bytes: u64,
    pub(super) late: Vec<String>,
    pub(super) overlap: bool,
    pub(super) widen: bool,
    pub(super) sharding: Sharding,
}

impl Default for Buckets {
    /// Buckets of 8 MiB, sent during the backward pass, in the parameters' own dtypes.
    fn default() -> Self {
        Self { bytes: 8 << 20, late: Vec::new(), overlap: true, widen: false, sharding: Sharding::None }
    }
}

impl Buckets {
    /// Sets the size up to which gradients share a bucket; a larger gradient has one of its own.
    #[must_use]
    pub fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Names the parameters whose gradients come in several pieces, such as that of an output matrix which is also the
    /// embedding: they are sent after the backward pass.
    #[must_use]
    pub fn with_late<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.late = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets whether buckets are sent during the backward pass; the sums have the same bits either way.
    #[must_use]
    pub fn with_overlap(mut self, overlap: bool) -> Self {
        self.overlap = overlap;
        self
    }

    /// Sets whether f16 and bf16 gradients are summed in f32, which doubles the traffic and rounds once instead of at every
    /// addition.
    #[must_use]
    pub fn with_f32_sums(mut self, widen: bool) -> Self {
        self.widen = widen;
        self
    }

    /// Sets what is divided over the ranks instead of being on each.
    #[must_use]
    pub fn with_sharding(mut self, sharding: Sharding) -> Self {
        self.sharding = sharding;
        self
    }
}

/// One gradient of a list, in the order in which the backward pass computes them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) bytes: u64,
    pub(super) dtype: Kind,
    pub(super) device: Device,
    pub(super) late: bool,
}

/// The bucket of each gradient, and how many buckets may be sent during the backward pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) bucket: Vec<usize>,
    pub(super) buckets: usize,
    pub(super) early: usize,
}

impl Layout {
    /// Fills buckets in the order of the list, with the late gradients last.
    ///
    /// It depends on the list alone, so that a resumed run has the same buckets and so the same sums.
    pub(super) fn new(items: &[Item], bytes: u64) -> Self {
        let mut layout = Self { bucket: vec![0; items.len()], buckets: 0, early: 0 };
        for late in [false, true] {
            // The open bucket: its size, and the dtype and device of its gradients.
            let mut open: Option<(u64, Kind, Device)> = None;
            for (index, item) in items.iter().enumerate().filter(|(_, item)| item.late == late) {
                let size = match open {
                    Some((size, dtype, device))
                        if dtype == item.dtype && device == item.device && size + item.bytes <= bytes =>
                    {
                        size
                    }
                    _ => {
                        layout.buckets += 1;
                        0
                    }
                };
                open = Some((size + item.bytes, item.dtype, item.device));
                layout.bucket[index] = layout.buckets - 1;
            }
            if !late {
                layout.early = layout.buckets;
            }
        }
        layout
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]
mod tests {
    use super::*;

    fn item(bytes: u64, dtype: Kind, late: bool) -> Item {
        Item { bytes, dtype, device: Device::Cpu, late }
    }

    #[test]
    fn a_bucket_has_one_dtype_and_at_most_its_size_unless_one_gradient_is_larger() {
        let items = [
            item(6, Kind::Float, false),
            item(4, Kind::Float, false),
            item(1, Kind::Float, false),
            item(1, Kind::BFloat16, false),
            item(99, Kind::BFloat16, false),
            item(1, Kind::Float, false),
        ];
        let layout = Layout::new(&items, 10);
        assert_eq!(layout, Layout { bucket: vec![0, 0, 1, 2, 3, 4], buckets: 5, early: 5 });
    }

    #[test]
    fn late_gradients_have_the_last_buckets() {
        let items = [item(1, Kind::Float, true), item(1, Kind::Float, false), item(1, Kind::Float, true)];
        assert_eq!(Layout::new(&items, 10), Layout { bucket: vec![1, 0, 1], buckets: 2, early: 1 });
        assert_eq!(Layout::new(&[], 10), Layout { bucket: vec![], buckets: 0, early: 0 });
    }
}
