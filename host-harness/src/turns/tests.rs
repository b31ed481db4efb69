use std::pin::pin;

use proptest::prelude::*;

use super::*;

/// A line at so many turns a second, by skipped time.
fn turns(per_second: u32, burst: u32) -> Arc<Turns> {
    let limits =
        Limits { requests_per_second: per_second, request_burst: burst, ..Limits::default() };
    Turns::new(&limits, &Clock::skipping())
}

fn name(name: &str) -> Arc<str> {
    Arc::from(name)
}

fn age(turns: &Turns, seconds: u64) -> Purpose {
    Purpose::Look { due: turns.clock.now(), age: Duration::from_secs(seconds) }
}

/// Who is served in which order, when all of them join before the first turn is given out.
async fn order(turns: &Arc<Turns>, those: &[(&str, Purpose)]) -> Vec<usize> {
    let served = Mutex::new(Vec::new());
    let all = those.iter().enumerate().map(|(n, (connection, purpose))| {
        let served = &served;
        async move {
            let turn = turns.wait(&name(connection), *purpose, |_| ()).await;
            assert!(turn.spend());
            served.lock().unwrap().push(n);
        }
    });
    // They join in this order, and nobody is served before the last has joined.
    let taken = turns.wait(&name("first"), Purpose::Start, |_| ()).await;
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let joined = std::future::poll_fn(|cx| {
        let _post = turns.post.try_lock();
        for one in &mut all {
            assert!(one.as_mut().poll(cx).is_pending());
        }
        std::task::Poll::Ready(())
    });
    joined.await;
    drop(taken);
    let waits = std::future::poll_fn(|cx| {
        all.retain_mut(|one| one.as_mut().poll(cx).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    waits.await;
    served.lock().unwrap().clone()
}

#[tokio::test]
async fn the_rate_holds_after_the_burst() {
    let turns = turns(10, 20);
    for n in 1..=100_u32 {
        assert!(turns.wait(&name("a"), Purpose::Start, |_| ()).await.spend());
        let least = SECOND / 10 * n.saturating_sub(20);
        assert!(
            turns.clock.skipped() >= least.saturating_sub(SECOND / 10 - Duration::from_millis(1))
        );
        assert!(turns.clock.skipped() <= least);
    }
}

#[tokio::test]
async fn without_a_rate_nobody_waits() {
    let turns = turns(0, 0);
    for _ in 0..1_000 {
        assert!(turns.wait(&name("a"), Purpose::Start, |_| panic!("a line")).await.spend());
    }
    assert_eq!(turns.clock.skipped(), Duration::ZERO);
}

#[tokio::test]
async fn young_work_is_looked_at_before_old_work() {
    let turns = turns(1, 1);
    let those = [600, 3, 60, 0].map(|seconds| ("a", age(&turns, seconds)));
    assert_eq!(order(&turns, &those).await, [3, 1, 2, 0]);
}

#[tokio::test]
async fn what_stops_comes_first_and_running_steps_before_others() {
    let turns = turns(1, 1);
    let those = [
        ("a", age(&turns, 0)),
        ("a", Purpose::Start),
        ("a", Purpose::Request),
        ("a", Purpose::Stop),
    ];
    assert_eq!(order(&turns, &those).await, [3, 2, 1, 0]);
}

#[tokio::test]
async fn first_steps_and_looks_take_turns_until_looks_are_late() {
    let turns = turns(1, 1);
    let mut those = vec![("a", Purpose::Start); 200];
    those.extend(vec![("a", age(&turns, 0)); 200]);
    let order = order(&turns, &those).await;
    let looks = |from: usize, to: usize| order[from..to].iter().filter(|n| **n >= 200).count();
    assert_eq!(looks(0, 50), 25);
    // A minute later seven of eight turns are theirs.
    assert!(looks(70, 150) >= 69, "{}", looks(70, 150));
}

/// A thousand waits of one connection cost another a turn in two, and no more.
#[tokio::test]
async fn connections_take_turns() {
    let turns = turns(10, 1);
    let mut those = vec![("many", age(&turns, 0)); 1_000];
    those.extend(vec![("few", age(&turns, 3_600)); 5]);
    let order = order(&turns, &those).await;
    let last = order.iter().position(|n| *n == 1_004).unwrap();
    assert!(last <= 10, "{last}");
}

#[tokio::test]
async fn a_turn_that_is_not_spent_goes_to_the_next() {
    let turns = turns(1, 1);
    let here = name("a");
    let turn = turns.wait(&here, Purpose::Start, |_| ()).await;
    let mut second = pin!(turns.wait(&here, Purpose::Start, |_| ()));
    let waits =
        std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx).is_pending()));
    assert!(waits.await);
    drop(turn);
    assert!(second.await.spend());
    assert_eq!(turns.clock.skipped(), Duration::ZERO);
}

#[tokio::test]
async fn a_turn_that_is_kept_for_long_lapses() {
    let turns = turns(1, 1);
    let kept = turns.wait(&name("a"), Purpose::Start, |_| ()).await;
    turns.line().given.values_mut().for_each(|given| *given -= KEPT);
    assert!(turns.wait(&name("b"), Purpose::Start, |_| ()).await.spend());
    assert!(!kept.spend());
}

#[tokio::test]
async fn those_who_leave_are_forgotten_whoever_gives_out_turns() {
    let turns = turns(1, 1);
    let here = name("a");
    assert!(turns.wait(&here, Purpose::Start, |_| ()).await.spend());
    let kept = turns.wait(&here, Purpose::Start, |_| ()).await;
    {
        let waiting = (0..100).map(|_| Box::pin(turns.wait(&here, Purpose::Start, |_| ())));
        let mut waiting: Vec<_> = waiting.collect();
        std::future::poll_fn(|cx| {
            waiting.iter_mut().for_each(|one| assert!(one.as_mut().poll(cx).is_pending()));
            std::task::Poll::Ready(())
        })
        .await;
        assert_eq!(turns.line().waiting, 100);
    }
    assert!(turns.line().is_empty());
    drop(kept);
    assert!(turns.wait(&here, Purpose::Start, |_| ()).await.spend());
}

#[tokio::test]
async fn too_many_to_look_at_in_time_are_told_of_once() {
    let turns = turns(1, 1);
    let here = name("a");
    let kept = turns.wait(&here, Purpose::Start, |_| ()).await;
    let told = std::sync::atomic::AtomicUsize::new(0);
    let long = std::sync::atomic::AtomicUsize::new(0);
    let mut waiting: Vec<_> = (0..1_000)
        .map(|_| {
            Box::pin(turns.wait(&here, age(&turns, 60), |crowd| {
                told.fetch_add(usize::from(crowd.too_many), Relaxed);
                long.fetch_add(usize::from(crowd.is_long()), Relaxed);
            }))
        })
        .collect();
    std::future::poll_fn(|cx| {
        waiting.iter_mut().for_each(|one| assert!(one.as_mut().poll(cx).is_pending()));
        std::task::Poll::Ready(())
    })
    .await;
    drop(kept);
    drop(waiting);
    assert_eq!((told.load(Relaxed), long.load(Relaxed)), (1, 999));
}

/// The longest time between two looks at works that all begin at once and are due every 30 s, over some hours; and how
/// many of them had begun after half an hour.
fn longest_gap(works: usize, hours: u64) -> (Duration, usize) {
    let (turns, here) = (turns(10, 20), name("a"));
    let (born, interval) = (turns.born, Duration::from_millis(100));
    let mut line: Line<usize> = Line::new(born);
    // When each began and was looked at last.
    let mut seen: Vec<Option<(Instant, Instant)>> = vec![None; works];
    let mut due: BTreeMap<(Instant, usize), ()> = BTreeMap::new();
    for work in 0..works {
        let key = (born, line.number());
        line.join(&here, Which::Starts, key, work);
    }
    let (mut gap, mut begun) = (Duration::ZERO, 0);
    let turns_in = u32::try_from(hours * 36_000).unwrap();
    for turn in 0..turns_in {
        let now = born + interval * turn;
        while let Some(entry) = due.first_entry().filter(|entry| entry.key().0 <= now) {
            let (at, work) = *entry.key();
            entry.remove();
            let age = at - seen[work].unwrap().0;
            let key = (at + turns.slack(age), line.number());
            line.join(&here, Which::Looks, key, work);
        }
        let Some(work) = line.first(now) else { continue };
        let (began, last) = seen[work].unwrap_or((now, now));
        gap = gap.max(now - last);
        seen[work] = Some((began, now));
        due.insert((now + Duration::from_secs(30), work), ());
        if turn == turns_in.min(18_000) - 1 {
            begun = seen.iter().flatten().count();
        }
    }
    let end = born + interval * turns_in;
    let unseen = seen.iter().flatten().map(|(_, last)| end - *last).max();
    (gap.max(unseen.unwrap_or_default()), begun)
}

/// H1: with as many works as the rate allows for, none is out of sight for a quarter of an hour; with more, they are
/// still looked at one after the other.
#[test]
fn work_is_looked_at_within_a_quarter_of_an_hour() {
    let (gap, begun) = longest_gap(7_000, 6);
    assert!(gap <= Duration::from_mins(15), "{gap:?}");
    assert!(begun >= 4_000, "{begun}");
    let (gap, _) = longest_gap(12_000, 6);
    assert!(gap <= Duration::from_mins(22), "{gap:?}");
}

/// Somebody in a random line.
fn anybody() -> impl Strategy<Value = (usize, u8, u16, bool)> {
    (0..4_usize, 0..4_u8, 0..1_000_u16, prop::bool::weighted(0.2))
}

impl<T> Line<T> {
    fn is_empty(&self) -> bool {
        self.waiting == 0
            && self.urgent == 0
            && self.connections.is_empty()
            && self.order.is_empty()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever stays is served, once; within a connection looks go by deadline; nobody is passed by all the others.
    #[test]
    fn a_line_of_any_kind_is_served(
        those in prop::collection::vec(anybody(), 1..120),
        burst in 1..5_u32,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let turns = turns(10, burst);
            let names = ["a", "b", "c", "d"].map(name);
            let served = Mutex::new(Vec::new());
            let now = turns.clock.now();
            let mut waiting = Vec::new();
            for (n, (connection, purpose, seconds, leaves)) in those.iter().enumerate() {
                let purpose = match purpose {
                    0 => Purpose::Request,
                    1 => Purpose::Start,
                    _ => Purpose::Look { due: now, age: Duration::from_secs((*seconds).into()) },
                };
                let (turns, connection, served) = (&turns, &names[*connection], &served);
                waiting.push((*leaves, Box::pin(async move {
                    let turn = turns.wait(connection, purpose, |_| ()).await;
                    if !*leaves && turn.spend() {
                        served.lock().unwrap().push(n);
                    }
                })));
            }
            // A few rounds in which some are served, then some leave.
            std::future::poll_fn(|cx| {
                waiting.retain_mut(|(_, one)| one.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            }).await;
            waiting.retain(|(leaves, _)| !leaves);
            std::future::poll_fn(|cx| {
                waiting.retain_mut(|(_, one)| one.as_mut().poll(cx).is_pending());
                if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            }).await;
            let served = served.lock().unwrap().clone();
            let stayed = those.iter().filter(|(_, _, _, leaves)| !leaves).count();
            assert_eq!(served.len(), stayed);
            let looks_of = |of: usize| {
                let looks = served.iter().map(|n| those[*n]).filter(move |(connection, purpose, _, _)| {
                    *connection == of && *purpose > 1
                });
                // The first turns went to whoever came first.
                looks.map(|(_, _, seconds, _)| seconds.saturating_mul(8).min(600)).skip(burst as usize + 1)
            };
            for of in 0..names.len() {
                assert!(looks_of(of).is_sorted(), "{:?}", looks_of(of).collect::<Vec<_>>());
            }
            assert!(turns.line().is_empty());
        });
    }
}
