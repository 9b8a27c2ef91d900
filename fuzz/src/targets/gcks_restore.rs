//! Stored records, as a damaged or foreign store might give them back.

use claviger_crypto::{SecretBytes, SeededRandom, provider};
use claviger_gcks::{Gcks, GcksConfig, Record};
use claviger_sansio::durable::RecordKey;

use crate::{group::NOW, hip, script};

const RECORDS_MAX: usize = 64;

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    // A record in the input: its table, and three pieces: scope, item, value.
    let pieces: Vec<(u8, &[u8])> = script::pieces(input).take(3 * RECORDS_MAX).collect();
    let records: Vec<Record> = pieces
        .chunks_exact(3)
        .map(|record| {
            let table = Gcks::TABLES[usize::from(record[0].0) % Gcks::TABLES.len()];
            let key = RecordKey::new(record[0].1, record[1].1);
            (table, key, SecretBytes::copy_of(record[2].1))
        })
        .collect();
    let _ = Gcks::last_change(&records);
    let push_source_v4 = Some([192, 0, 2, 1].into());
    let config = GcksConfig {
        hip: hip::config(),
        provider: provider(),
        gdoi_port: 848,
        push_source_v4,
        push_source_v6: None,
    };
    if let Ok(mut gcks) = Gcks::restore(config, Box::new(SeededRandom::new(1)), NOW, &records) {
        gcks.handle_timeout(NOW);
        let _ = gcks.groups(NOW);
        let _ = gcks.stage(NOW);
    }
}
