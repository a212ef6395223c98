//! Published answers: every algorithm of the card against vectors that others made.
//!
//! What is run and what is left out is counted by algorithm and source and held against
//! `report.txt`, so that no vector is lost unnoticed. A vector is left out only if the card refuses
//! its lengths, and that it does is checked. `UPDATE_VECTORS=1` writes the report anew.

mod case;
mod files;
mod json;
mod report;

use case::Case;
use regs::{CIPHERS, CipherCode, DIGESTS, DigestCode};
use report::Report;

#[test]
fn every_published_vector_comes_out_and_goes_back() {
    let mut report = Report::default();
    files::run(&mut report);
    json::run(&mut report);
    nothing_to_compute(&mut report);
    report.compare();
    for info in CIPHERS.iter().skip(1) {
        assert!(report.ran(&format!("{:?}", info.code)) > 0, "{info:?}");
    }
    for info in DIGESTS.iter().skip(1) {
        assert!(report.ran(&format!("{:?}", info.code)) > 0, "{info:?}");
    }
}

/// The null cipher copies and the null MAC is zeroes: nobody publishes that.
fn nothing_to_compute(report: &mut Report) {
    let case = Case {
        cipher: CipherCode::Null,
        digest: DigestCode::NullHmac,
        plain: b"some payload".to_vec(),
        secret: b"some payload".to_vec(),
        tag: vec![0; 16],
        ..Case::default()
    };
    case.run("by definition", report);
}
