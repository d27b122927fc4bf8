//! The fuzzers' kept corpora (`make fuzz`), once through each target.

use std::{fs, path::Path};

use yue_server::fuzzing::TARGETS;

#[test]
fn the_kept_corpora_pass() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, check) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpora.join(name)).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            check(&fs::read(&path).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 90, "{name}: {inputs} inputs");
    }
    assert_eq!(fs::read_dir(corpora).unwrap().count(), TARGETS.len(), "a corpus without its target");
}
