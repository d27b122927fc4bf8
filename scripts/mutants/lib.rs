//! The rules without the engine around them: what `make mutants` compiles for each mutant.
pub mod journal;
pub mod ledger;
pub mod model;
mod planted;
