//! What `explode` makes of records.

use super::super::fixtures::{drafted, items_of, refuses};

const ORDER: &str = r#"{"id":7,"c":{"n":"x"},"items":[{"p":1.50},{"p":2,"id":3},{}]}"#;

#[test]
fn each_element_becomes_a_record() {
    let rows: [(&[&str], &str, &[&str]); 13] = [
        (&["explode: /items"], ORDER, &[r#"0 {"p":1.50}"#, r#"1 {"p":2,"id":3}"#, "2 {}"]),
        (
            &["explode: { from: /items, with: [/c/n], index_into: /n }"],
            ORDER,
            &[
                r#"0 {"p":1.50,"c":{"n":"x"},"n":0}"#,
                r#"1 {"p":2,"id":3,"c":{"n":"x"},"n":1}"#,
                r#"2 {"c":{"n":"x"},"n":2}"#,
            ],
        ),
        (&["explode: { from: /items, with: /none }"], ORDER, &[r#"0 {"p":1.50}"#, r#"1 {"p":2,"id":3}"#, "2 {}"]),
        (
            &["explode: { from: /items, with: /id }"],
            ORDER,
            &[
                r#"0 {"p":1.50,"id":7}"#,
                "1 exists at steps[0].explode: the element has something at /id already",
                r#"2 {"id":7}"#,
            ],
        ),
        (
            &["explode: { from: /items, with: /id, on_existing: replace }", "require: /p"],
            ORDER,
            &[r#"0 {"p":1.50,"id":7}"#, r#"1 {"p":2,"id":7}"#, "2 missing at steps[1].require: /p is missing"],
        ),
        (
            &["explode: { from: /items, with: /id, on_existing: keep }", "where: [{ field: /id, equals: 7 }]"],
            ORDER,
            &[r#"0 {"p":1.50,"id":7}"#, r#"2 {"id":7}"#, "dropped 1"],
        ),
        (&["explode: /a"], r#"{"a":[1 , "x",[2], null ]}"#, &["0 1", r#"1 "x""#, "2 [2]", "3 null"]),
        (&["explode: \"\""], " [ 1,{} ] ", &["0 1", "1 {}"]),
        (&["explode: /a"], r#"{"a":[]}"#, &["dropped 1"]),
        (
            &["explode: { from: /a, with: /b }"],
            r#"{"a":[1,{}],"b":2}"#,
            &["0 wrong_type at steps[0].explode: no place for /b: the record is a number", r#"1 {"b":2}"#],
        ),
        // What the steps before have changed.
        (
            &["drop: /items/1", "set: { /items/0/q: 9 }", "explode: { from: /items, index_into: /n }"],
            ORDER,
            &[r#"0 {"p":1.50,"q":9,"n":0}"#, r#"1 {"n":1}"#],
        ),
        (
            &["set: { /l: [1, { a: 2 }] }", "explode: /l", "set: { /x: 1 }"],
            "{}",
            &["0 wrong_type at steps[2].set: no place for /x: the record is a number", r#"1 {"a":2,"x":1}"#],
        ),
        (&["keep: /items/2", "explode: /items"], ORDER, &["0 {}"]),
    ];
    for (steps, input, ends) in rows {
        assert_eq!(items_of(steps, input), ends, "{steps:?} {input}");
    }
}

#[test]
fn items_do_not_see_each_other() {
    let with = "set: { /c/k: 1 }";
    let steps = [with, "explode: { from: /items, with: [/c] }", "rename: { /c/n: /m }", "set: { /c/k: \"{/p|none}\" }"];
    let ends = [
        r#"0 {"p":1.50,"c":{"k":1.50},"m":"x"}"#,
        r#"1 {"p":2,"id":3,"c":{"k":2},"m":"x"}"#,
        r#"2 {"c":{"k":"none"},"m":"x"}"#,
    ];
    assert_eq!(items_of(&steps, ORDER), ends);
    let steps = ["set: { /a/0/x: 1 }", "explode: { from: /a, with: [/a/0] }", "drop: /a/0/x", "set: { /y: 2 }"];
    let ends = [
        "0 exists at steps[1].explode: the element has something at /a/0 already".to_owned(),
        r#"1 {"a":{"0":{"a":[{}]}},"y":2}"#.to_owned(),
    ];
    assert_eq!(items_of(&steps, r#"{"a":[{"a":[{}]},{}]}"#), ends);
}

#[test]
fn two_steps_make_items_of_items() {
    let input = r#"{"o":5,"a":[{"b":[1,2]},{"b":[]},{"b":7},{"b":[3]}]}"#;
    let steps = ["explode: { from: /a, with: /o }", "explode: /b"];
    let ends =
        ["0.0 1", "0.1 2", "2 wrong_type at steps[1].explode: /b is a number, not an array", "3.0 3", "dropped 1"];
    assert_eq!(items_of(&steps, input), ends);
    let input = r#"{"a":[{"b":"[1,2]"},{"b":"x"},{"b":"[3]"}]}"#;
    let steps = ["explode: /a", "parse: /b", "explode: /b"];
    let ends =
        ["0.0 1", "0.1 2", "1 invalid_json at steps[1].parse: the text in /b: unexpected bytes at byte 0", "2.0 3"];
    assert_eq!(items_of(&steps, input), ends);
}

#[test]
fn items_are_looked_up_one_by_one() {
    let lookup = "lookup: { redis: known, key: \"{/k}\", into: /u, on_miss: reject }";
    let input = r#"{"k":1,"a":[{"k":1},{"k":2},{"k":1,"z":0}]}"#;
    let ends = [
        r#"0 {"k":1,"u":{"tier":"gold"}}"#,
        "1 lookup_miss at steps[1].lookup: nothing found for /u",
        r#"2 {"k":1,"z":0,"u":{"tier":"gold"}}"#,
    ];
    assert_eq!(items_of(&["explode: /a", lookup], input), ends);
    let steps = [lookup, "explode: { from: /a, with: /u/tier }"];
    let ends = ["0", "1", "2"].map(|item| items_of(&steps, input).remove(item.parse::<usize>().expect("a number")));
    assert_eq!(ends[0], r#"0 {"k":1,"u":{"tier":"gold"}}"#);
    assert_eq!(ends[2], r#"2 {"k":1,"z":0,"u":{"tier":"gold"}}"#);
    assert_eq!(items_of(&steps, r#"{"k":2,"a":[{},{}]}"#), ["- lookup_miss at steps[0].lookup: nothing found for /u"]);
}

#[test]
fn what_is_no_array_or_too_long_ends_the_whole_record() {
    let list = |count: usize| format!("{{\"a\":[{}]}}", vec!["{\"b\":[1,2,3]}"; count].join(","));
    for (steps, input, said) in [
        (&["explode: /a"][..], "{}".to_owned(), "missing at steps[0].explode: /a is missing"),
        (&["explode: /a"], r#"{"a":null}"#.to_owned(), "null at steps[0].explode: /a is null, not an array"),
        (&["explode: /a"], r#"{"a":{}}"#.to_owned(), "wrong_type at steps[0].explode: /a is an object, not an array"),
        (&["explode: \"\""], "{}".to_owned(), "wrong_type at steps[0].explode: the record is an object, not an array"),
        (&["explode: { from: /a, otherwise: drop }"], "{}".to_owned(), "dropped"),
        (
            &["explode: /a"],
            list(21),
            "too_large at steps[0].explode: the record becomes 21 records or more, `limits.items` is 20",
        ),
        (
            &["explode: /a", "explode: /b"],
            list(7),
            "too_large at steps[1].explode: the record becomes 21 records or more, `limits.items` is 20",
        ),
    ] {
        assert_eq!(drafted(steps, &input), Err(said.to_owned()), "{steps:?}");
    }
    assert_eq!(items_of(&["explode: /a"], &list(20)).len(), 20);
    assert_eq!(items_of(&["explode: /a", "explode: /b"], &list(6)).len(), 18);
}

#[test]
fn the_item_is_in_templates() {
    let steps = ["explode: /a", "set: { /id: \"{offset}-{item}\" }"];
    assert_eq!(items_of(&steps, r#"{"a":[{},{}]}"#), [r#"0 {"id":"0-0"}"#, r#"1 {"id":"0-1"}"#]);
    let steps = ["explode: /a", "explode: /b", "set: { /id: \"{item}\" }"];
    assert_eq!(items_of(&steps, r#"{"a":[{},{"b":[{}]}]}"#)[1], r#"1.0 {"id":"1.0"}"#);
}

#[test]
fn what_is_written_wrong_is_refused_with_its_place() {
    let rows = [
        ("{explode: items}", "", "write `/items`"),
        ("{explode: [/a, /b]}", "", "a pointer, or a map"),
        ("{explode: {with: /a}}", "", "`from` is missing"),
        ("{explode: {from: /a, with: []}}", ".with", "the list is empty"),
        ("{explode: {from: /a, with: [/b, \"\"]}}", ".with[1]", "the whole record"),
        ("{explode: {from: /a, with: [/b, /b/c]}}", ".with", "one lies in the other"),
        ("{explode: {from: /a, with: /n, index_into: /n}}", ".index_into", "named twice"),
        ("{explode: {from: /a, index_into: n}}", ".index_into", "write `/n`"),
        ("{explode: {from: /a, wiht: /b}}", ".wiht", "did you mean `with`"),
        ("{explode: {from: /a, otherwise: keep}}", ".otherwise", "`drop`"),
    ];
    refuses("explode", &rows);
    let fifth = "{explode: /a}, {explode: /b}, {explode: /c}, {jq: .d}, {jq: .e}";
    let found = super::super::fixtures::refused(fifth);
    assert!(found.contains("steps[4].jq") && found.contains("more than 4 steps"), "{found}");
    refuses("set", &[("{set: {/id: \"{item}\"}}", ".\"/id\"", "no step before it")]);
}

/// The items of a record are counted over all phases: what earlier ones of it have become leaves less for the next.
#[test]
fn items_of_several_phases_are_bounded_together() {
    let item = r#"{"b":"[1,2,3,4,5,6]"}"#;
    let input = format!("{{\"a\":[{}]}}", [item; 4].join(","));
    let ends = items_of(&["explode: /a", "parse: /b", "explode: /b"], &input);
    assert_eq!((ends.len(), ends[0].as_str(), ends[17].as_str()), (19, "0.0 1", "2.5 6"));
    let refused = "3 too_large at steps[2].explode: the record becomes 24 records or more, `limits.items` is 20";
    assert_eq!(ends[18], refused);
}

/// What the steps before make too large is refused for that, whatever comes next.
#[test]
fn an_overgrown_record_is_not_made_items() {
    let doubling: Vec<String> =
        (0..40).map(|step| format!("set: {{ /a{}: \"{{/a{step}}}{{/a{step}}}\" }}", step + 1)).collect();
    for last in ["jq: '.a0'", "explode: { from: /l, with: /a40 }"] {
        let mut steps: Vec<&str> = doubling.iter().map(String::as_str).collect();
        steps.push(last);
        let ending = drafted(&steps, r#"{"a0":"xxxxxxxx","l":[{}]}"#).expect_err("too large");
        assert!(ending.starts_with("too_large at steps["), "{ending}");
    }
}
