//! Sequences to tensors.

use grades_finetune::data::sequence::{Sequence, collate, rows};
use tch::{Device, Tensor};

fn sequence(ids: &[u32], from: usize) -> Sequence {
    Sequence { ids: ids.to_vec(), targets: vec![from..ids.len()] }
}

fn list(tensor: &Tensor) -> Vec<i64> {
    Vec::try_from(tensor.view(-1)).unwrap()
}

#[test]
fn a_target_is_predicted_from_the_token_before_it() {
    let (a, b) = (sequence(&[1, 7, 8, 2], 2), sequence(&[1, 9], 1));
    let batch = collate(&[vec![&a], vec![&b]], Device::Cpu).unwrap();
    assert_eq!(batch.tokens.ids, Tensor::from_slice2(&[[1i64, 7, 8, 2], [1, 9, 0, 0]]));
    assert!(batch.tokens.packed.is_none());
    assert_eq!((list(&batch.targets.positions), list(&batch.targets.ids)), (vec![1, 2, 4], vec![8, 2, 9]));
    assert_eq!(batch.token_count, 6);
}

#[test]
fn packed_sequences_have_positions_and_segments_of_their_own() {
    let (a, b, c) = (sequence(&[1, 7, 2], 1), sequence(&[1, 9], 1), sequence(&[1, 5, 6], 2));
    let batch = collate(&[vec![&a, &b], vec![&c]], Device::Cpu).unwrap();
    let packed = batch.tokens.packed.unwrap();
    assert_eq!(list(&batch.tokens.ids), [1, 7, 2, 1, 9, 1, 5, 6, 0, 0]);
    assert_eq!(list(&packed.segments), [0, 0, 0, 1, 1, 0, 0, 0, -1, -1]);
    assert_eq!(list(&packed.positions), [0, 1, 2, 0, 1, 0, 1, 2, 0, 0]);
    assert_eq!(list(&batch.targets.positions), [0, 1, 3, 6]);
    assert_eq!(list(&batch.targets.ids), [7, 2, 9, 6]);
}

#[test]
fn rows_hold_one_sequence_each_or_as_many_as_fit() {
    assert_eq!(rows(&[3, 2, 3], None), [[0], [1], [2]]);
    assert_eq!(rows(&[3, 2, 3], Some(5)), [vec![0, 1], vec![2]]);
}

#[test]
fn a_batch_of_nothing_is_refused() {
    assert!(collate(&[], Device::Cpu).is_err());
    let none = Sequence { ids: vec![1, 2], targets: vec![] };
    let error = collate(&[vec![&none]], Device::Cpu).unwrap_err().to_string();
    assert_eq!(error, "a batch in which nothing is to be predicted");
}
