//! The demonstration can fail: its claims are checked, not asserted.

use std::process::Command;

#[test]
fn an_evicted_member_that_is_handed_a_later_tek_makes_the_demonstration_fail() {
    let output = Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(["demo", "--json", "--betray"])
        .output()
        .expect("the demonstration starts");
    let progress = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{progress}");
    let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object alone");
    assert_eq!(verdict["ok"], false);
    let failed: Vec<&str> = verdict["claims"]
        .as_array()
        .expect("a list of claims")
        .iter()
        .filter(|claim| claim["ok"] == false)
        .filter_map(|claim| claim["claim"].as_str())
        .collect();
    assert!(failed.contains(&"evicted: its keys open nothing after it is deaf"), "{failed:?}\n{progress}");
}
