//! The storage of hidden states: a slot for each row of a data set, in main memory or in a file.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

use crate::storage::ScratchFile;

/// Limits of a storage, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Those in main memory.
    pub(super) memory: usize,
    /// Those in the file.
    pub(super) file: usize,
}

/// The slots of a data set's rows.
#[derive(Debug)]
pub(super) struct Slots {
    /// Row `i` has the tokens from `ends[i - 1]` to `ends[i]`.
    ends: Vec<usize>,
    /// The number of blocks whose output is stored, by row; 0 stores nothing.
    levels: Vec<u32>,
    /// The rows in main memory, which are the first ones, and those in main memory or the file.
    rooms: [usize; 2],
    width: usize,
    dtype: Kind,
    /// `[tokens, width]`.
    memory: Option<Tensor>,
    file: Option<ScratchFile>,
    /// Where each row's bytes are in the file, from the first row that is not in main memory on; rows follow one another as they
    /// are first stored.
    positions: Vec<Option<u64>>,
    /// The end of the last of them.
    file_end: u64,
    folder: PathBuf,
    /// Why nothing more is stored in main memory, and in the file.
    failures: [Option<String>; 2],
    /// The tokens of rows that are stored, in main memory and in the file.
    used: [usize; 2],
}

impl Slots {
    /// Makes slots for rows of these lengths, as many as the limits allow; the rows come first that are first in order.
    pub(super) fn new(lengths: &[usize], width: usize, dtype: Kind, limits: Limits, folder: PathBuf) -> Self {
        let ends: Vec<usize> = lengths
            .iter()
            .scan(0usize, |end, length| {
                *end = end.saturating_add(*length);
                Some(*end)
            })
            .collect();
        let in_memory = ends.partition_point(|&end| end <= limits.memory);
        let before = in_memory.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
        let all = ends.partition_point(|&end| end - before.min(end) <= limits.file).max(in_memory);
        Self {
            levels: vec![0; ends.len()],
            ends,
            rooms: [in_memory, all],
            width,
            dtype,
            memory: None,
            file: None,
            positions: vec![None; all - in_memory],
            file_end: 0,
            folder,
            failures: [None, None],
            used: [0; 2],
        }
    }

    /// Returns the dtype.
    pub(super) fn dtype(&self) -> Kind {
        self.dtype
    }

    /// Returns the number of rows.
    pub(super) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Returns the number of tokens of a row.
    pub(super) fn length(&self, row: usize) -> usize {
        self.span(row).1
    }

    /// Returns whether every row has room.
    pub(super) fn has_room_for_all(&self) -> bool {
        self.rooms[1] == self.ends.len()
    }

    /// Returns the tokens of the rows that have room, in main memory and in the file.
    pub(super) fn reserved(&self) -> [usize; 2] {
        let memory = self.memory_tokens();
        let all = self.rooms[1].checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        [memory, all - memory.min(all)]
    }

    /// Returns the bytes that are in use, in main memory and in the file.
    pub(super) fn bytes(&self) -> [u64; 2] {
        self.used.map(|tokens| (tokens * self.width * self.dtype.elt_size_in_bytes()) as u64)
    }

    /// Returns the number of blocks whose output is stored of a row; 0 when nothing is.
    pub(super) fn level(&self, row: usize) -> usize {
        self.levels.get(row).map_or(0, |&level| level as usize)
    }

    /// Sets the number of blocks of a row whose output is not there yet, where the row has room.
    pub(super) fn mark(&mut self, row: usize, level: usize) {
        if row < self.rooms[1] {
            self.set_level(row, level);
        }
    }

    /// Drops the outputs of more than this many blocks.
    pub(super) fn limit(&mut self, blocks: usize) {
        for row in 0..self.levels.len() {
            if self.level(row) > blocks {
                self.set_level(row, 0);
            }
        }
    }

    /// Stores the output `[length, width]` of so many blocks for a row, if it has room.
    ///
    /// # Errors
    ///
    /// When libtorch refuses. Memory that is not there and a file that cannot be written are a [`failure`](Self::failure).
    pub(super) fn store(&mut self, row: usize, states: &Tensor, level: usize) -> Result<()> {
        let (start, length) = self.span(row);
        if row < self.rooms[0] {
            let Some(memory) = self.memory() else { return Ok(()) };
            memory.f_narrow(0, start as i64, length as i64)?.f_copy_(states)?;
            self.set_level(row, level);
        } else if row < self.rooms[1] && self.failures[1].is_none() {
            let states = states.f_to_device(Device::Cpu)?.f_to_kind(self.dtype)?.f_contiguous()?;
            let mut bytes = vec![0; states.numel() * self.dtype.elt_size_in_bytes()];
            states.f_copy_data_u8(&mut bytes, states.numel())?;
            // What was there is lost if the new bytes are written in part only.
            self.set_level(row, 0);
            let position = self.position(row, bytes.len());
            match self.file().and_then(|file| file.write_at(&bytes, position)) {
                Ok(()) => self.set_level(row, level),
                Err(error) => self.failures[1] = Some(error.to_string()),
            }
        }
        Ok(())
    }

    /// Returns the output `[length, width]` that is stored of a row; `None` where the file cannot be read.
    ///
    /// # Errors
    ///
    /// When libtorch refuses.
    pub(super) fn load(&mut self, row: usize) -> Result<Option<Tensor>> {
        let (start, length) = self.span(row);
        let shape = [length as i64, self.width as i64];
        if row < self.rooms[0] {
            let memory = self.memory.as_ref().context("nothing is stored")?;
            return Ok(Some(memory.f_narrow(0, start as i64, shape[0])?));
        }
        let mut bytes = vec![0; length * self.width * self.dtype.elt_size_in_bytes()];
        let position = self.position(row, bytes.len());
        match self.file().and_then(|file| file.read_at(&mut bytes, position)) {
            Ok(()) => Ok(Some(Tensor::f_from_data_size(&bytes, &shape, self.dtype)?)),
            Err(error) => {
                self.failures[1] = Some(error.to_string());
                self.set_level(row, 0);
                Ok(None)
            }
        }
    }

    /// Returns why memory or the file could not be used; nothing more is stored in it then.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failures.iter().flatten().next().map(String::as_str)
    }

    /// Returns the tokens before a row, and its own.
    fn span(&self, row: usize) -> (usize, usize) {
        let end = self.ends.get(row).copied().unwrap_or(0);
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        (start, end - start)
    }

    /// Returns the position in the file of a row of so many bytes: behind all others where it had none.
    fn position(&mut self, row: usize, bytes: usize) -> u64 {
        let Some(position) = self.positions.get_mut(row - self.rooms[0].min(row)) else {
            return self.file_end;
        };
        let position = *position.get_or_insert(self.file_end);
        self.file_end = self.file_end.max(position + bytes as u64);
        position
    }

    /// Returns the tokens of the rows that are in main memory.
    fn memory_tokens(&self) -> usize {
        self.rooms[0].checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0)
    }

    /// Returns the main memory; `None` where there is none to be had.
    fn memory(&mut self) -> Option<&Tensor> {
        if self.memory.is_none() && self.failures[0].is_none() {
            // The system gives pages when they are written.
            let size = [self.memory_tokens() as i64, self.width as i64];
            match Tensor::f_empty(size, (self.dtype, Device::Cpu)) {
                Ok(memory) => self.memory = Some(memory),
                Err(error) => self.failures[0] = Some(grades::first_line(error)),
            }
        }
        self.memory.as_ref()
    }

    fn file(&mut self) -> io::Result<&mut ScratchFile> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => Ok(none.insert(ScratchFile::create(&self.folder, "activations")?)),
        }
    }

    fn set_level(&mut self, row: usize, level: usize) {
        let (_, length) = self.span(row);
        let used = &mut self.used[usize::from(row >= self.rooms[0])];
        if let Some(known) = self.levels.get_mut(row) {
            match (*known > 0, level > 0) {
                (false, true) => *used += length,
                (true, false) => *used -= length,
                _ => {}
            }
            *known = u32::try_from(level).unwrap_or(0);
        }
    }
}
