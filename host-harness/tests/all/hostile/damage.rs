//! Components that were cut or changed on the way: an error or a component, never a panic, and in bounded time.

use host_harness::{ErrorKind, Harness, Settings};
use hostile_guests::Guest;

use super::run;

/// Pseudo-random, and the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

/// F3: every truncation of a small component, and every thousandth of the large one, is refused.
#[test]
fn cut_components_are_refused() {
    let refused =
        |whole: &[u8], end: usize| match Harness::from_bytes(&whole[..end], Settings::default()) {
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::ComponentInvalid, "{error}");
                assert_eq!(error.message.lines().count(), 1, "{error}");
            }
            Ok(_) => assert_eq!(whole[end], 0, "nothing but a custom section was cut off at {end}"),
        };
    let small = Guest::new().component();
    (0..small.len()).for_each(|end| refused(&small, end));
    let large = std::fs::read(crate::fixtures::guest()).unwrap();
    (0..large.len()).step_by(large.len() / 100).for_each(|end| refused(&large, end));
}

/// F3: bits flipped in a component, 2,000 times, lead to an error or to a component whose call ends.
///
/// The benchmark `damage` flips 20,000.
#[tokio::test]
async fn flipped_bits_are_survived() {
    let whole = Guest::new().component();
    let (mut dice, mut refused, mut ran) = (Dice(1), 0, 0);
    let mut settings = Settings::default();
    settings.limits.concurrent_steps = 1;
    settings.limits.cpu = std::time::Duration::from_millis(20);
    settings.limits.start = std::time::Duration::from_millis(20);
    settings.limits.action = std::time::Duration::from_millis(200);
    for _ in 0..2_000 {
        let mut bytes = whole.clone();
        let at = dice.below(bytes.len());
        bytes[at] ^= 1 << dice.below(8);
        match Harness::from_bytes(&bytes, settings.clone()) {
            Ok(harness) => {
                let _ = run(&harness).await;
                ran += 1;
            }
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::ComponentInvalid, "{error}");
                assert_eq!(error.message.lines().count(), 1, "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 500 && ran > 50, "{refused} were refused, {ran} ran");
}

/// F3: with a digest to go by, damage is told as what it is before any of it is parsed.
#[test]
fn damage_is_first_of_all_another_digest() {
    let whole = Guest::new().component();
    let digest = ring::digest::digest(&ring::digest::SHA256, &whole);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let settings =
        || Settings { component_sha256: Some(format!("sha256:{digest}")), ..Settings::default() };
    Harness::from_bytes(&whole, settings()).unwrap();
    for at in (0..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x80;
        let error = Harness::from_bytes(&bytes, settings()).unwrap_err();
        let expected = format!("digest mismatch: expected {}…, got ", &digest[..8]);
        assert!(error.message.contains(&expected), "{error}");
    }
}
