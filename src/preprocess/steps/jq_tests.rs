//! What `jq` makes of records.

use super::super::fixtures::{drafted, items_of, refuses};

const ORDER: &str = r#"{"id":7,"items":[{"p":1.50,"q":2},{"p":2,"q":3}]}"#;

#[test]
fn each_output_becomes_a_record() {
    let rows: [(&[&str], &str, &[&str]); 9] = [
        (&["jq: ."], ORDER, &[&format!("0 {ORDER}")]),
        (&["jq: '.items[]'"], ORDER, &[r#"0 {"p":1.50,"q":2}"#, r#"1 {"p":2,"q":3}"#]),
        (&["jq: empty"], ORDER, &["dropped 1"]),
        (
            &["jq: '.items[] | {total: (.p * .q)}'", "where: [{ field: /total, greater_than: 5 }]"],
            ORDER,
            &[r#"1 {"total":6}"#, "dropped 1"],
        ),
        (
            &["set: { /n: 1 }", "drop: /items/0", "jq: '{n, left: (.items | length)}'", "set: { /i: \"{item}\" }"],
            ORDER,
            &[r#"0 {"n":1,"left":1,"i":"0"}"#],
        ),
        (
            &["explode: { from: /items, with: /id }", "jq: 'select(.p == 2), .id'", "explode: \"\""],
            r#"{"id":[8,9],"items":[{"p":1},{"p":2}]}"#,
            &[
                "0.0.0 8",
                "0.0.1 9",
                "1.0 wrong_type at steps[2].explode: the record is an object, not an array",
                "1.1.0 8",
                "1.1.1 9",
            ],
        ),
        (
            &["explode: /items", "jq: 'if .p > 1.6 then error(\"dear\") else . end'"],
            ORDER,
            &[r#"0.0 {"p":1.50,"q":2}"#, "1 program_error at steps[1].jq: dear"],
        ),
        (&["lookup: { redis: known, key: \"{/k}\", into: /u }", "jq: .u.tier"], r#"{"k":1}"#, &["0 \"gold\""]),
        (
            &["jq: .a", "lookup: { redis: known, key: \"{/k}\", into: /u, on_miss: drop }"],
            r#"{"a":{"k":1}}"#,
            &[r#"0 {"k":1,"u":{"tier":"gold"}}"#],
        ),
    ];
    for (steps, input, ends) in rows {
        assert_eq!(items_of(steps, input), ends, "{steps:?} {input}");
    }
}

#[test]
fn what_a_program_cannot_do_rejects_the_record() {
    for (program, said) in [
        ("'.id.x'", "program_error at steps[0].jq: cannot index 7 with \"x\""),
        ("'.items[] | .p, error(\"x\")'", "program_error at steps[0].jq: x"),
        ("'range(21)'", "too_large at steps[0].jq: the record becomes more than 20 records, which is `limits.items`"),
        (
            "'last(range(1e9))'",
            "program_error at steps[0].jq: the program takes too many turns of its loops for the record",
        ),
        (
            "'reduce range(2000) as $i (0; [.])'",
            "too_deep at steps[0].jq: the program goes deeper than it may, or its output does",
        ),
        ("infinite", "program_error at steps[0].jq: the output has an infinite number, which JSON has not"),
    ] {
        assert_eq!(drafted(&[&format!("jq: {program}")], ORDER), Err(said.to_owned()), "{program}");
    }
    assert_eq!(items_of(&["jq: 'range(20)'"], ORDER).len(), 20);
    let many = items_of(&["explode: /items", "jq: 'range(11)'"], ORDER);
    assert_eq!(many, ["- too_large at steps[1].jq: the record becomes 22 records or more, `limits.items` is 20"]);
}

#[test]
fn what_is_written_wrong_is_refused_with_its_place() {
    let rows = [
        ("{jq: ''}", "", "line 1, column 1 of the program: expected a term, found the end"),
        ("{jq: '.a | foo'}", "", "line 1, column 6 of the program: there is no function `foo`"),
        ("{jq: 'env.HOME'}", "", "there is no function `env`"),
        ("{jq: [.]}", "", "a string"),
    ];
    refuses("jq", &rows);
}
