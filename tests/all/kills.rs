//! The program, killed.

use connector_tests::kills::{POINTS, kill_everywhere};

/// I2, M2: killed at any point of its work and of going on with it, the program does nothing twice and loses nothing: it ends
/// with the result, or says that the outcome is unknown and what to look for.
#[test]
fn nothing_is_lost_or_done_twice() {
    let rows = kill_everywhere(2, 3);
    assert_eq!(rows.len(), POINTS.len());
    for (point, ended) in rows {
        assert_eq!(ended.iter().sum::<u64>(), 2, "{point}");
    }
}
