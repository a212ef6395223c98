//! What a request costs with the cards there are, and how many bytes go through.

use framework::{Buffer, DriverChoice, MigrationPolicy, Operation, Region, Request, SessionId};
use rand::SeedableRng as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use timebase::Span;

use super::machine::VIRTIO_CRYPTO;
use super::rig::Rig;
use crate::scenario::Suite;
use crate::workload::session_params;

/// What is measured: suite, bytes of payload, requests in flight.
const POINTS: [(&str, usize, usize); 11] = [
    ("null", 64, 1),
    ("null", 64, 64),
    ("aes-128-cbc", 64, 1),
    ("aes-128-cbc", 1024, 1),
    ("aes-128-cbc", 1024, 64),
    ("aes-128-cbc", 16384, 1),
    ("aes-128-cbc", 16384, 64),
    ("aes-128-gcm", 4096, 1),
    ("aes-128-gcm", 4096, 64),
    ("aes-128-gcm", 16384, 1),
    ("aes-128-gcm", 16384, 64),
];
/// Where the IV of requests stands is of no concern: it is separate, and the same.
const IV: [u8; 64] = [3; 64];

/// What the peers have too.
const PEER_SUITE: &str = "aes-128-cbc";

/// Requests that are not under way.
type Idle = Vec<Box<Request>>;

/// What figures of the cards say that they went through.
const CARD: &str = "card";

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// What the requests went through: cards, or what serves a virtio crypto device.
    pub(crate) through: &'static str,
    /// Algorithm.
    pub(crate) suite: &'static str,
    /// Payload of a request, in bytes.
    pub(crate) bytes: usize,
    /// Requests in flight.
    pub(crate) in_flight: usize,
    /// Requests that were done.
    pub(crate) requests: u64,
    /// Time of one request, in microseconds: all of the time divided by their number.
    pub(crate) request_us: f64,
    /// Payload in a second, in megabytes (10^6 bytes).
    pub(crate) megabytes_per_s: f64,
    /// Interrupts for a hundred requests; the kernel does not say how many it takes for a peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interrupts_percent: Option<f64>,
}

/// Measures each point for `time`; then what the kernel's AES-CBC costs over the virtio crypto
/// devices of this machine, if there are any.
///
/// # Errors
/// A message if a session is refused or a request fails.
pub(crate) fn bench(
    rig: &mut Rig,
    time: Span,
    tell: &mut dyn FnMut(&Figure),
) -> Result<(), String> {
    let patience = rig.now() + Span::from_ms(30_000);
    if !rig.bring_up(patience) {
        return Err("not every card came out of its reset".to_owned());
    }
    for (suite, bytes, in_flight) in POINTS {
        let figure = measure(rig, (suite, bytes, in_flight), time)?;
        tell(&figure);
    }
    peers(rig, time, tell)
}

#[cfg(not(feature = "vfio"))]
fn peers(_rig: &Rig, _time: Span, _tell: &mut dyn FnMut(&Figure)) -> Result<(), String> {
    Ok(())
}

/// Measures what is measured of the cards, and that the peers can do.
#[cfg(feature = "vfio")]
fn peers(rig: &Rig, time: Span, tell: &mut dyn FnMut(&Figure)) -> Result<(), String> {
    let devices = super::alg::devices();
    for device in &devices {
        let failed = |error| format!("virtio crypto, {}: {error}", device.name);
        super::alg::choose(&devices, device).map_err(failed)?;
        let points = POINTS.iter().filter(|(suite, ..)| *suite == PEER_SUITE);
        for &(suite, bytes, in_flight) in points {
            let (requests, seconds) = peer(rig, (bytes, in_flight), time).map_err(failed)?;
            tell(&Figure {
                through: device.name,
                suite,
                bytes,
                in_flight,
                requests,
                request_us: seconds * 1e6 / requests as f64,
                megabytes_per_s: requests as f64 * bytes as f64 / seconds / 1e6,
                interrupts_percent: None,
            });
        }
    }
    Ok(())
}

/// Requests that a peer did, and how many seconds it took. Whoever waits for one of its requests
/// is a thread, so there is one for each in flight.
#[cfg(feature = "vfio")]
fn peer(rig: &Rig, (bytes, in_flight): (usize, usize), time: Span) -> std::io::Result<(u64, f64)> {
    const EACH: usize = 32;
    let cipher = super::alg::Cipher::new(&[7; 16])?;
    let lanes: std::io::Result<Vec<_>> = (0..in_flight).map(|_| cipher.lane()).collect();
    let lanes = lanes?;
    let lap = |lane: &super::alg::Lane| {
        let mut bytes = vec![0; bytes];
        let iv = *IV.first_chunk().expect("an IV is longer");
        (0..EACH).try_for_each(|_| lane.encrypt(&iv, &mut bytes))
    };
    let all = || {
        let (first, others) = lanes.split_first().expect("at least one in flight");
        std::thread::scope(|scope| {
            let others: Vec<_> = others
                .iter()
                .map(|lane| scope.spawn(|| lap(lane)))
                .collect();
            let done = lap(first);
            let others = others.into_iter();
            others.fold(done, |done, other| {
                done.and(other.join().expect("a thread that does not panic"))
            })
        })
    };
    // The first ones find everything cold.
    all()?;
    let (start, mut requests) = (rig.now(), 0);
    while rig.now().since(start) < time {
        all()?;
        requests += (in_flight * EACH) as u64;
    }
    Ok((requests, rig.now().since(start).as_secs_f64()))
}

/// What a request costs beside one through QEMU's own device: the figure, and its time divided by
/// the other's. Nothing without such a device.
pub(crate) fn ratios(figures: &[Figure]) -> Vec<(&Figure, f64)> {
    let (builtin, _) = VIRTIO_CRYPTO[0];
    let common = || figures.iter().filter(|figure| figure.suite == PEER_SUITE);
    let point = |figure: &Figure| (figure.bytes, figure.in_flight);
    let of = |figure| {
        let mut own = common().filter(|own| own.through == builtin);
        let own = own.find(|own| point(own) == point(figure))?;
        Some((figure, figure.request_us / own.request_us))
    };
    let others = common().filter(|figure| figure.through != builtin);
    others.filter_map(of).collect()
}

fn measure(
    rig: &mut Rig,
    (name, bytes, in_flight): (&'static str, usize, usize),
    time: Span,
) -> Result<Figure, String> {
    let suite: Suite = name.parse().expect("a suite that is named");
    let params = session_params(suite, &mut Xoshiro256PlusPlus::seed_from_u64(1));
    let session = rig.framework.open_session(
        rig.now(),
        params,
        DriverChoice::hardware_only(),
        MigrationPolicy::Transparent,
    );
    let session = session.map_err(|error| format!("{name}: no session: {error}"))?;
    let mut idle = Vec::new();
    for _ in 0..in_flight {
        idle.push(request(rig, &suite, session, bytes)?);
    }
    // The first lap finds everything cold, and waits for the session to open.
    lap(rig, &mut idle, in_flight as u64)?;
    let (start, before) = (rig.now(), rig.interrupts());
    let mut requests = 0;
    while rig.now().since(start) < time {
        lap(rig, &mut idle, 256.max(in_flight as u64))?;
        requests += 256.max(in_flight as u64);
    }
    let seconds = rig.now().since(start).as_secs_f64();
    let after = rig.interrupts();
    let interrupts = after.0 + after.1 - before.0 - before.1;
    let now = rig.now();
    let _ = rig.framework.close_session(now, session);
    Ok(Figure {
        through: CARD,
        suite: name,
        bytes,
        in_flight,
        requests,
        request_us: seconds * 1e6 / requests as f64,
        megabytes_per_s: requests as f64 * bytes as f64 / seconds / 1e6,
        interrupts_percent: Some(interrupts as f64 * 100.0 / requests as f64),
    })
}

fn request(
    rig: &Rig,
    suite: &Suite,
    session: SessionId,
    bytes: usize,
) -> Result<Box<Request>, String> {
    let buffer = rig
        .pool
        .take(bytes + 64)
        .map_err(|error| error.to_string())?;
    let operation = match suite.mode {
        framework::Mode::Cipher => Operation::Encrypt,
        _ => Operation::EncryptCompute,
    };
    let mut request = Request::new(session, operation, Buffer::Pooled(buffer));
    request.payload = Region {
        start: 0,
        len: bytes,
    };
    if suite.mode == framework::Mode::Aead {
        request.digest_start = bytes;
    }
    request.iv = (suite.iv_len > 0).then_some(IV);
    Ok(request)
}

/// Does `count` requests, with as many in flight as there are idle ones.
fn lap(rig: &mut Rig, idle: &mut Idle, count: u64) -> Result<(), String> {
    let (mut begun, mut ended) = (0, 0);
    let give_up = rig.now() + Span::from_ms(60_000);
    while ended < count {
        while begun < count
            && let Some(request) = idle.pop()
        {
            let now = rig.now();
            let taken = rig.framework.dispatch(now, request);
            taken.map_err(|rejected| rejected.reason.to_string())?;
            begun += 1;
        }
        rig.turn();
        let before = ended;
        while let Some(finished) = rig.framework.take_finished() {
            finished.result.map_err(|error| error.to_string())?;
            idle.push(finished.request);
            ended += 1;
        }
        if ended == before {
            rig.sleep();
        }
        if rig.now() > give_up {
            return Err(format!("{} requests did not come back", begun - ended));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(through: &'static str, bytes: usize, in_flight: usize, request_us: f64) -> Figure {
        Figure {
            through,
            suite: PEER_SUITE,
            bytes,
            in_flight,
            requests: 1,
            request_us,
            megabytes_per_s: 0.0,
            interrupts_percent: Some(0.0),
        }
    }

    #[test]
    fn a_request_is_held_against_one_of_the_same_length_through_the_device_of_qemu() {
        let figures = [
            figure(CARD, 64, 1, 50.0),
            figure(CARD, 64, 64, 1.0),
            figure(CARD, 1024, 1, 90.0),
            figure(CARD, 1024, 64, 30.0),
            figure(CARD, 16384, 1, 1.0),
            figure("builtin", 64, 1, 100.0),
            figure("builtin", 1024, 1, 100.0),
            figure("builtin", 1024, 64, 40.0),
            figure("vhost-user", 64, 1, 120.0),
        ];
        let found = ratios(&figures).into_iter();
        let found: Vec<_> = found
            .map(|(figure, ratio)| (figure.through, figure.bytes, figure.in_flight, ratio))
            .collect();
        let expected = [
            (CARD, 64, 1, 0.5),
            (CARD, 1024, 1, 0.9),
            (CARD, 1024, 64, 0.75),
            ("vhost-user", 64, 1, 1.2),
        ];
        assert_eq!(found, expected);
        assert_eq!(ratios(&figures[..5]).len(), 0);
    }
}
