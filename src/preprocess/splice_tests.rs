//! Splices against expected text, and against serde_json's map.

use proptest::prelude::*;

use super::super::tape::Parser;
use super::super::test_plans::pointer;
use super::*;

/// Splices each (pointer, JSON) found into `text`, all located on the same parse.
fn spliced(text: &str, window: &str, puts: &[(&str, &str)]) -> Result<String, NoPlace> {
    Parser::default()
        .read(text.as_bytes(), |doc| {
            let window = doc.find(doc.root(), &pointer(window).members).expect("window");
            let located = |(into, json): &(&str, &str)| {
                let into = pointer(into).members;
                let member = member_text(into.last().map_or("", String::as_str));
                Ok((locate(&doc, window, &into)?, member, (*json).to_owned()))
            };
            let puts = puts.iter().map(located).collect::<Result<Vec<_>, NoPlace>>()?;
            let mut splices: Vec<_> =
                puts.iter().map(|(point, member, json)| Splice { point, member, json: json.as_bytes() }).collect();
            let mut pieces = Vec::new();
            assemble(doc.original(), doc.range(window), &mut splices, &mut pieces);
            assert!(pieces.iter().all(|piece| !piece.is_empty()), "no empty piece");
            Ok(String::from_utf8(pieces.concat()).expect("UTF-8"))
        })
        .expect("valid")
}

#[test]
fn puts_members_in_and_leaves_other_bytes_alone() {
    for (text, puts, expected) in [
        ("{}", &[("/a", "1")][..], r#"{"a":1}"#),
        ("{ }", &[("/a", "1")], r#"{ "a":1}"#),
        (r#"{"x": 1.0 }"#, &[("/a", "[]")], r#"{"x": 1.0 ,"a":[]}"#),
        (r#"{"a": 1 ,"b":2}"#, &[("/a", "{}")], r#"{"a": {} ,"b":2}"#),
        (r#"{"a":1,"a":2}"#, &[("/a", "3")], r#"{"a":3,"a":2}"#),
        (r#"{"a":null}"#, &[("/a", "3")], r#"{"a":3}"#),
        (r#"{"o":{"x":[1]},"z":0}"#, &[("/o/a", "1")], r#"{"o":{"x":[1],"a":1},"z":0}"#),
        (r#"{"o":[{}]}"#, &[("/o/0/a", "1")], r#"{"o":[{"a":1}]}"#),
        ("{}", &[("/a\"b~1", "1")], r#"{"a\"b/":1}"#),
        ("{}", &[("/a", "1"), ("/b", "2")], r#"{"a":1,"b":2}"#),
        (r#"{"x":0}"#, &[("/b", "1"), ("/a", "2")], r#"{"x":0,"b":1,"a":2}"#),
        (r#"{"o":{},"p":{}}"#, &[("/q", "3"), ("/p/b", "2"), ("/o/a", "1")], r#"{"o":{"a":1},"p":{"b":2},"q":3}"#),
        (r#"{"a":"\u0041","b":1}"#, &[("/b", "2"), ("/a", "1")], r#"{"a":1,"b":2}"#),
    ] {
        assert_eq!(spliced(text, "", puts).as_deref(), Ok(expected), "{puts:?} into {text}");
    }
}

#[test]
fn says_why_there_is_no_place() {
    for (text, into, fault) in [
        ("{}", "/a/b", NoPlace::Missing),
        (r#"{"a":null}"#, "/a/b", NoPlace::Null),
        (r#"{"a":"x"}"#, "/a/b", NoPlace::NotAnObject),
        (r#"{"a":[1]}"#, "/a/0", NoPlace::NotAnObject),
        ("[]", "/a", NoPlace::NotAnObject),
        ("{}", "", NoPlace::NotAnObject),
    ] {
        assert_eq!(spliced(text, "", &[(into, "1")]), Err(fault), "{into} into {text}");
    }
}

#[test]
fn what_lies_outside_the_window_is_left_out() {
    let text = br#"{"a":{"x":1},"b":{"y":2}}"#;
    let outcome = Parser::default().read(text, |doc| {
        let at = |path: &str| doc.find(doc.root(), &pointer(path).members).expect("there");
        let points =
            ["/a/n", "/b/n", "/n"].map(|into| locate(&doc, doc.root(), &pointer(into).members).expect("place"));
        let mut splices = points.each_ref().map(|point| Splice { point, member: b",\"n\":", json: b"0" });
        ["/a", "/b"].map(|window| {
            let mut pieces = Vec::new();
            assemble(text, doc.range(at(window)), &mut splices, &mut pieces);
            String::from_utf8(pieces.concat()).expect("UTF-8")
        })
    });
    assert_eq!(outcome.expect("valid"), [r#"{"x":1,"n":0}"#, r#"{"y":2,"n":0}"#]);
}

fn object() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i32>().prop_map(serde_json::Value::from),
        "[a-c\"\\\\}{]{0,3}".prop_map(serde_json::Value::from),
    ];
    let inner = leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-c]", inner, 0..4)
        .prop_map(|map| serde_json::Value::Object(map.into_iter().collect()))
}

proptest! {
    #[test]
    fn equals_an_insert_into_a_map(mut doc in object(), path in prop::collection::vec("[a-d]", 1..4), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&doc) } else { serde_json::to_string(&doc) }.expect("JSON");
        let into = format!("/{}", path.join("/"));
        let parent = format!("/{}", path[..path.len() - 1].join("/"));
        let parent = if path.len() == 1 { Some(&mut doc) } else { doc.pointer_mut(&parent) };
        let expected = parent.and_then(serde_json::Value::as_object_mut).map(|object| {
            object.insert(path[path.len() - 1].clone(), serde_json::json!({"found": "}"}));
        });
        let actual = spliced(&text, "", &[(&into, r#"{"found":"}"}"#)]);
        prop_assert_eq!(actual.is_ok(), expected.is_some());
        if let Ok(actual) = actual {
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&actual).expect("JSON"), doc);
        }
    }
}
