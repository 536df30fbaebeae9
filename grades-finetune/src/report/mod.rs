//! Reports: `report.html` and pictures of a run or a comparison.
//!
//! A page is one self-contained file, without network requests: style, script, pictures and data are inside. The pictures are drawn here as
//! SVG, once for wide screens and paper and once for phones, so that they are there without the script; it adds hovering
//! and filters. The same code writes them as files.

mod analysis;
mod csv;
mod inspection;
mod page;
mod pictures;
mod read;
mod svg;
mod timeline;

pub(crate) use analysis::Analysis;
pub(crate) use csv::write_csv;
pub(crate) use inspection::{inspection_json, inspection_text};
pub use read::{ComparisonData, Curve, RunData, StatisticPanel, StatisticSeries};

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::records::Comparison;
use crate::storage::{write_atomic, write_named};
use pictures::Figure;

/// The subject of a report.
#[derive(Debug)]
pub enum Subject {
    /// One run.
    Run(Box<RunData>),
    /// Several, side by side.
    Comparison(ComparisonData),
}

impl Subject {
    /// Reads one run, several, or a `compare.json` (or the folder that has one).
    ///
    /// # Errors
    ///
    /// When a path is neither, or a file is damaged; the error names it.
    pub fn read(paths: &[PathBuf]) -> Result<Self> {
        if let [path] = paths {
            if path.is_file() || path.join(Comparison::FILE).is_file() {
                return Ok(Self::Comparison(ComparisonData::read(path)?));
            }
            return Ok(Self::Run(Box::new(RunData::read(path)?)));
        }
        let runs: Vec<RunData> = paths.iter().map(|path| RunData::read(path)).collect::<Result<_>>()?;
        Ok(Self::Comparison(ComparisonData::of_runs(&runs)))
    }

    /// Writes the page as HTML.
    ///
    /// # Errors
    ///
    /// When the page's template fails, which is a defect.
    pub fn page(&self) -> Result<String> {
        match self {
            Self::Run(run) => page::run_page(run, &self.figures()),
            Self::Comparison(comparison) => page::comparison_page(comparison, &self.figures()),
        }
    }

    /// Writes the pictures into a folder, which is made if it is not there; returns their paths.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write_pictures(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        self.figures()
            .iter()
            .map(|figure| {
                let path = folder.join(format!("{}.svg", figure.name));
                write(&path, &figure.wide.file())?;
                Ok(path)
            })
            .collect()
    }

    fn figures(&self) -> Vec<Figure> {
        match self {
            Self::Run(run) => run_figures(&Analysis::new(run)),
            Self::Comparison(comparison) => {
                let figures = [
                    pictures::accuracy_over_time(comparison),
                    pictures::accuracy_over_flops(comparison),
                    pictures::time_bars(comparison),
                    pictures::savings(comparison),
                    pictures::curves(comparison),
                ];
                figures.into_iter().flatten().collect()
            }
        }
    }
}

/// Draws the figures of a run, except those that have nothing to show.
fn run_figures(analysis: &Analysis<'_>) -> Vec<Figure> {
    let run = analysis.run;
    let mut figures: Vec<Figure> = run
        .panels
        .iter()
        .enumerate()
        .map(|(index, panel)| pictures::statistic(analysis, panel, index))
        .collect();
    // Without a policy there is nothing to freeze.
    if !run.panels.is_empty() || !run.events.is_empty() {
        figures.push(pictures::heat_map(analysis));
    }
    if !run.steps.is_empty() {
        figures.push(pictures::loss(analysis));
        figures.push(pictures::progress(analysis));
    }
    figures.extend(run.summary.as_ref().and_then(pictures::classes));
    figures
}

/// Writes a run's `report.html` into its folder.
///
/// # Errors
///
/// As [`Subject::read`], and when the file cannot be written.
pub fn write_run_report(folder: &Path) -> Result<()> {
    let page = Subject::Run(Box::new(RunData::read(folder)?)).page()?;
    write(&folder.join("report.html"), &page)
}

/// Writes the `report.html` of a comparison into its folder, which has its `compare.json`.
///
/// # Errors
///
/// As [`write_run_report`].
pub fn write_comparison_report(folder: &Path) -> Result<()> {
    let page = Subject::Comparison(ComparisonData::read(folder)?).page()?;
    write(&folder.join("report.html"), &page)
}

/// Writes a page to the file that the user names.
pub(crate) fn write_page(path: &Path, text: &str) -> Result<()> {
    // The error begins with the path.
    write_named(path, text.as_bytes()).map_err(|error| anyhow::anyhow!("cannot write {error}"))
}

/// Writes a file of a folder, or nothing.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    // The error begins with the path.
    write_atomic(path, text.as_bytes()).map_err(|error| anyhow::anyhow!("cannot write {error}"))
}
