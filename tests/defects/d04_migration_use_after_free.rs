//! D4: requests that wait behind the first keep pointing at a session that was freed.
//!
//! When the old framework found a request of a driver that was leaving, it freed the session, made
//! another and gave that to this one request. Others in the queue still named the old session; each
//! of them, if it survived, made a session of its own.

use framework::{DriverChoice, MigrationPolicy, RequestError};

use crate::hand::Bench;

/// Sessions by place; freed ones leave a hole.
struct Old {
    sessions: Vec<Option<&'static str>>,
    made: usize,
    dangling: usize,
}

impl Old {
    fn invoke(&mut self, session: &mut usize) {
        if self.sessions[*session].take().is_none() {
            self.dangling += 1;
        }
        self.sessions.push(Some("on the other driver"));
        self.made += 1;
        *session = self.sessions.len() - 1;
    }
}

#[test]
fn the_second_request_names_a_session_that_is_gone() {
    let mut old = Old {
        sessions: vec![Some("on the driver that leaves")],
        made: 0,
        dangling: 0,
    };
    let mut queue = [0_usize; 3];
    for session in &mut queue {
        old.invoke(session);
    }
    assert_eq!((old.dangling, old.made), (2, 3));
}

#[test]
fn a_session_moves_once_and_all_its_requests_learn_the_same_name() {
    let mut bench = Bench::new();
    let (_, first) = bench.hand("card0", 0);
    let session = bench.open(DriverChoice::any(), MigrationPolicy::Report);
    let (_, second) = bench.hand("card1", 9);
    for number in 0..3 {
        bench.dispatch(session, number);
    }
    first.borrow_mut().die();
    let ended = bench.ended();
    let names: Vec<_> = ended
        .iter()
        .map(|(_, result)| match result {
            Err(RequestError::Moved(name)) => *name,
            other => panic!("untouched, so told to move: {other:?}"),
        })
        .collect();
    assert_eq!(names.len(), 3);
    assert!(
        names
            .iter()
            .all(|name| *name == names[0] && *name != session)
    );
    assert_eq!(second.borrow().sessions.len(), 1);
    assert_eq!(bench.0.stats().migrations, 1);
}
