//! JSON → tree: JSON is YAML, and YAML's reader knows where everything stands. What is YAML but no JSON is refused
//! first.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::yaml;
use crate::leaf::finding::Finding;
use crate::leaf::tree::{Node, Origin};

const REMEDY: &str = "check quotes, commas and brackets";

/// Reads a JSON document.
///
/// # Errors
/// One finding when it is not JSON or nests too deep.
pub fn read(text: &str, file: &Arc<str>) -> Result<Node, Finding> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| refused(&error, file))?;
    let read = yaml::document(text, file, "JSON", DuplicateKeyPolicy::PassThrough);
    read.map_err(|finding| finding.remedy(REMEDY))
}

fn refused(error: &serde_json::Error, file: &Arc<str>) -> Finding {
    let (line, column) = (error.line() as u64, (error.column() as u64).max(1));
    let origin = Origin::File { file: file.clone(), line, column };
    let message = error.to_string();
    let reason = message.split(" at line ").next().unwrap_or_default();
    Finding::error(origin, "", format!("not valid JSON: {reason}")).remedy(REMEDY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf::tree::{Style, TreeValue};

    #[test]
    fn positions_and_escapes() {
        let text = "{\n\t\"a\": {\"b\": [1, \"\\ud83d\\ude00\\/\"]},\n\t\"c\": null}";
        let root = read(text, &Arc::from("t.json")).unwrap();
        let TreeValue::List(items) = &root.get("a").unwrap().get("b").unwrap().value else { panic!() };
        let TreeValue::Scalar(smile) = &items[1].value else { panic!() };
        assert_eq!((smile.text.as_str(), smile.style), ("😀/", Style::Quoted));
        assert_eq!(items[1].origin.to_string(), "t.json:2:17");
        assert_eq!(root.get("a").unwrap().origin.to_string(), "t.json:2:2");
        assert!(root.get("c").unwrap().is_null());
    }

    #[test]
    fn bad_json_names_the_line_and_never_the_text() {
        for text in
            ["{\n\"password\": \"hunter2\n}", "{\n\"password\": hunter2}", "{\"a\": 1} x", "{\"a\": \n\"\\ud800\"}"]
        {
            let finding = read(text, &Arc::from("t.json")).unwrap_err();
            assert!(finding.to_string().contains("t.json:"), "{finding}");
            assert!(!finding.to_string().contains("hunter2"), "{finding}");
        }
    }
}
