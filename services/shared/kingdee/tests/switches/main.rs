//! The client against the simulated K3Cloud under every setting of every switch, and under every fault it knows.
//!
//! Nobody outside Kingdee can say which way a real server behaves at the points that the simulator's switches stand for,
//! so the client has to come to the right end under all of them.

mod faults;
mod galaxy;
mod scenario;
mod settings;
mod workflow;

use kingdee::LoginMode;
use tokio::task::JoinSet;

/// Every way of proving who calls.
const LOGINS: [LoginMode; 4] = [LoginMode::Signed, LoginMode::Password, LoginMode::AppSecret, LoginMode::Sign];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_client_comes_to_the_right_end_under_every_setting_of_every_switch() {
    let mut runs = JoinSet::new();
    for setting in settings::all() {
        runs.spawn(async move {
            let name = setting.to_string();
            // In a task of its own: a panic then names its setting.
            (name, tokio::spawn(scenario::run(setting)).await)
        });
    }
    let mut failed = Vec::new();
    while let Some(run) = runs.join_next().await {
        let (name, outcome) = run.expect("no panic here");
        if outcome.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "the scenario failed (see above) under:\n{}", failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_fault_is_told_by_its_class() {
    let runs: Vec<_> = LOGINS.into_iter().map(|login| tokio::spawn(faults::run(login))).collect();
    for run in runs {
        run.await.expect("every fault was told by its class");
    }
}

#[test]
fn every_setting_of_every_switch_of_the_simulator_is_tried() {
    assert_eq!(settings::untried(), Vec::<String>::new());
}

#[test]
fn every_fault_of_the_simulator_is_met() {
    assert_eq!(faults::unmet(), Vec::<String>::new());
}
