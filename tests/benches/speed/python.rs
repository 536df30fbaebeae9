//! PyTorch in a process of its own, asked for one step at a time.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use serde_json::Value;

/// A path of the workspace.
pub(crate) fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// `tests/python/bench.py`.
#[derive(Clone)]
pub(crate) struct Python(Rc<RefCell<(Child, ChildStdin, BufReader<ChildStdout>)>>);

impl Python {
    /// `None`, and a line that says so, without torch in `.venv`.
    pub(crate) fn start() -> Option<Self> {
        let python = workspace(".venv/bin/python");
        let ready = Command::new(&python)
            .args(["-c", "import importlib.util as u, sys; sys.exit(not (u.find_spec('torch') and u.find_spec('transformers')))"])
            .status()
            .is_ok_and(|status| status.success());
        if !ready {
            println!(
                "  (no PyTorch beside: {} lacks torch and transformers; run `make setup-interop`)",
                python.display()
            );
            return None;
        }
        let mut child = Command::new(python)
            .arg(workspace("tests/python/bench.py"))
            .arg(tch::get_num_threads().to_string())
            .env("HF_HUB_OFFLINE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Self(Rc::new(RefCell::new((child, input, BufReader::new(output))))))
    }

    /// The milliseconds that a request took.
    pub(crate) fn ask(&self, request: &Value) -> f64 {
        let (_, input, output) = &mut *self.0.borrow_mut();
        writeln!(input, "{request}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let took = line.trim().parse();
        assert!(took.is_ok(), "tests/python/bench.py said nothing to {request}: see above");
        took.unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        if Rc::strong_count(&self.0) == 1 {
            let _ = self.0.borrow_mut().0.kill();
            let _ = self.0.borrow_mut().0.wait();
        }
    }
}
