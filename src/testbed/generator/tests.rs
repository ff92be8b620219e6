//! The generator: same seed, same records, and the shape asked for.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use strum::VariantArray;

use super::*;

fn shape() -> LoadShape {
    LoadShape { keys: 100, users: 50, ..LoadShape::default() }
}

fn parse(record: &Generated<'_>) -> Value {
    serde_json::from_slice(record.value.expect("a value")).expect("valid JSON")
}

#[test]
fn the_same_shape_and_index_give_the_same_bytes_in_any_order() {
    let (one, two) = (Generator::new(shape()), Generator::new(shape()));
    let (mut a, mut b) = (GeneratorScratch::default(), GeneratorScratch::default());
    for index in [0, 7, 3, 1_000_000, 3] {
        assert_eq!(one.record(index, &mut a), two.record(index, &mut b));
        assert_eq!(one.key_number(index), {
            let key = one.record(index, &mut a).key.expect("a key").to_vec();
            String::from_utf8_lossy(&key[2..]).parse::<u64>().expect("digits")
        });
    }
    let other = Generator::new(LoadShape { seed: 2, ..shape() });
    assert_ne!(one.record(5, &mut a).value, other.record(5, &mut b).value);
}

/// The bytes themselves are part of recorded results: a change of the generator must be seen.
#[test]
fn the_corpus_is_the_one_results_were_recorded_with() {
    let generator = Generator::new(LoadShape::default());
    let mut scratch = GeneratorScratch::default();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for index in 0..1_000 {
        let record = generator.record(index, &mut scratch);
        for byte in record.key.into_iter().chain(record.value).flatten() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!(hash, RECORDED, "FNV-1a of the first 1,000 records of the default shape: {hash:#x}");
}
const RECORDED: u64 = 0x9748_277d_da58_d527;

#[test]
fn every_size_is_exact_valid_and_carries_the_key() {
    for size in [128, 129, 500, 767, 768, 769, 912, 4096, 65_536] {
        let generator = Generator::new(LoadShape { value_bytes: size, ..shape() });
        let mut scratch = GeneratorScratch::default();
        for index in 0..300 {
            let record = generator.record(index, &mut scratch);
            assert_eq!(record.value.expect("a value").len(), size, "record {index}");
            let value = parse(&record);
            let key = std::str::from_utf8(record.key.expect("a key")).expect("UTF-8");
            assert_eq!(value["result"]["id"], key);
            assert_eq!(value["result"]["seq"], 1_000_000_000_000 + index);
            assert!(value["result"]["user"].as_str().is_some_and(|user| user.starts_with("u-0000")));
        }
    }
}

/// The skeleton of the full layout varies with the seed; it must always leave room in the smallest full value.
#[test]
fn the_full_layout_fits_its_smallest_size_for_any_seed() {
    let mut scratch = GeneratorScratch::default();
    for seed in 0..200 {
        let generator = Generator::new(LoadShape { seed, value_bytes: 768, ..shape() });
        for index in 0..64 {
            let record = generator.record(index, &mut scratch);
            assert_eq!(record.value.map(<[u8]>::len), Some(768), "seed {seed}, record {index}");
        }
    }
}

#[test]
fn sizes_out_of_range_are_clamped() {
    for (wanted, got) in [(0, SMALLEST_VALUE_BYTES), (1 << 30, LARGEST_VALUE_BYTES)] {
        let generator = Generator::new(LoadShape { value_bytes: wanted, ..shape() });
        assert_eq!(generator.record(0, &mut GeneratorScratch::default()).value.map(<[u8]>::len), Some(got));
    }
}

#[test]
fn the_default_shape_is_the_one_of_the_measurements() {
    let generator = Generator::new(LoadShape::default());
    let mut scratch = GeneratorScratch::default();
    let (mut fourteen, mut escapes, mut wide, mut geo) = (0, 0, 0, 0);
    for index in 0..1_000 {
        let record = generator.record(index, &mut scratch);
        let bytes = record.value.expect("a value");
        escapes += u32::from(bytes.contains(&b'\\'));
        wide += u32::from(!bytes.is_ascii());
        let value = parse(&record);
        assert_eq!(value["meta"].as_object().map(serde_json::Map::len), Some(5));
        let result = value["result"].as_object().expect("an object");
        assert!([13, 14].contains(&result.len()), "{} members", result.len());
        fourteen += u32::from(result.len() == 14);
        geo += u32::from(result["address"]["geo"].is_object());
        let selected = crate::testbed::oracle::select_result(bytes).expect("selected").len();
        assert!((780..=795).contains(&selected), "result has {selected} bytes");
    }
    assert_eq!(escapes, 1_000);
    assert!((650..850).contains(&fourteen), "{fourteen}");
    assert!((400..600).contains(&geo), "{geo}");
    assert!(wide > 500, "{wide}");
}

#[test]
fn keys_are_shared_hot_or_unique_as_asked() {
    let count = |shape: LoadShape| {
        let generator = Generator::new(shape);
        let mut seen: HashMap<u64, u32> = HashMap::new();
        (0..10_000).for_each(|index| *seen.entry(generator.key_number(index)).or_default() += 1);
        seen
    };
    assert_eq!(count(LoadShape { keys: 0, ..shape() }).len(), 10_000);
    assert_eq!(count(LoadShape { keys: 64, ..shape() }).len(), 64);
    let hot = count(LoadShape { keys: 64, hot_keys: 2, hot_percent: 80, ..shape() });
    let hottest: u32 = hot[&0] + hot[&1];
    assert_eq!(hot.len(), 66);
    assert!((7_700..8_300).contains(&hottest), "{hottest}");
}

#[test]
fn headers_keyless_records_and_tombstones_stand_where_asked() {
    let shape = LoadShape { headers: true, keyless_every: 3, tombstone_every: 4, ..shape() };
    let generator = Generator::new(shape);
    let mut scratch = GeneratorScratch::default();
    for index in 0..48 {
        let record = generator.record(index, &mut scratch);
        assert_eq!(record.key.is_none(), index % 3 == 2, "{index}");
        assert_eq!(record.value.is_none(), index % 4 == 3, "{index}");
        assert_eq!(record.trace.map(<[u8]>::len), Some(16));
        let fate = if index % 4 == 3 { RecordFate::Tombstone } else { RecordFate::Delivered };
        assert_eq!(record.fate(), fate);
    }
}

#[test]
fn poison_stands_at_its_places_and_nowhere_else() {
    let kinds = vec![Poison::Empty, Poison::Truncated];
    let generator = Generator::new(LoadShape { poison_every: 5, poison: kinds.clone(), ..shape() });
    let clean = Generator::new(shape());
    let (mut scratch, mut other) = (GeneratorScratch::default(), GeneratorScratch::default());
    for index in 0..100 {
        let record = generator.record(index, &mut scratch);
        let expected = (index % 5 == 4).then(|| kinds[((index / 5) % 2) as usize]);
        assert_eq!(record.poison, expected, "{index}");
        if expected.is_none() {
            assert_eq!(record.value, clean.record(index, &mut other).value);
        }
    }
}

/// Each kind is what its name says, judged by a parser that has nothing to do with the engine's.
#[test]
fn every_poison_is_poisonous_exactly_where_it_says_so() {
    for size in [128, 912, 4096] {
        for &kind in Poison::VARIANTS {
            let shape = LoadShape { value_bytes: size, poison_every: 1, poison: vec![kind], ..shape() };
            let mut scratch = GeneratorScratch::default();
            let generator = Generator::new(shape);
            let record = generator.record(3, &mut scratch);
            assert_eq!(record.poison, Some(kind));
            let parsed = record.value.map(serde_json::from_slice::<Value>);
            let object = matches!(&parsed, Some(Ok(value)) if value["result"].is_object());
            match kind.fate() {
                RecordFate::Delivered | RecordFate::ServerDecides | RecordFate::SinkLimit => {
                    assert!(object, "{}", kind.name())
                }
                RecordFate::Tombstone => assert!(record.value.is_none()),
                RecordFate::Rejected(_) => assert!(record.value.is_some() && !object, "{}", kind.name()),
            }
        }
    }
}

#[test]
fn names_of_poison_are_unique() {
    let names: HashSet<&str> = Poison::VARIANTS.iter().map(|poison| poison.name()).collect();
    assert_eq!(names.len(), Poison::VARIANTS.len());
    assert_eq!(Poison::for_mock().len(), Poison::VARIANTS.len() - 1);
}

#[test]
fn nine_users_in_ten_are_known_to_the_look_up() {
    let generator = Generator::new(shape());
    let table = generator.lookup_table();
    assert_eq!(table.len(), 45);
    let fields: Value = serde_json::from_slice(&table[b"user:u-000003".as_slice()]).expect("JSON");
    assert_eq!(fields["tier"], "gold");
    assert!(!table.contains_key(b"user:u-000009".as_slice()));
    assert_eq!(generator.users().count(), 45);
}
