//! Functions of at most 100 lines, files of at most 800.

use super::{Finding, Tree};

const FUNCTION_LINES_MAX: usize = 100;
const FILE_LINES_MAX: usize = 800;

pub fn sizes(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let len_lines = source.text.lines().count();
        if len_lines > FILE_LINES_MAX {
            let message = format!("{len_lines} lines, at most {FILE_LINES_MAX}");
            findings.push(Finding::new("file-length", &source.path, 0, message).measure(len_lines));
        }
        for function in source.functions() {
            if function.len_lines > FUNCTION_LINES_MAX {
                let message =
                    format!("`{}` has {} lines, at most {FUNCTION_LINES_MAX}", function.name, function.len_lines);
                let finding = Finding::new("function-length", &source.path, function.line, message);
                findings.push(finding.item(&function.name).measure(function.len_lines));
            }
        }
    }
    findings
}
