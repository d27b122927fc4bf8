use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::*;

/// What the server here does with each transfer; a probe it answers at once.
#[derive(Clone, Copy)]
enum Answering {
    After(Duration, &'static str),
    Never,
}

const CREATED: &str = "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n";
const NO_MOMENT: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
const NOT_SURE: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 21\r\n\r\n{\"outcome\":\"unknown\"}";
const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const DELAY: Duration = Duration::from_millis(20);

/// Serves until the test's process ends.
fn server(answering: Answering) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || serve(stream, answering));
        }
    });
    Endpoint::parse(&format!("http://{address}"), None).unwrap()
}

/// Until the connection is closed.
fn serve(stream: TcpStream, answering: Answering) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let (mut line, mut length, mut posts) = (String::new(), 0, false);
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            posts |= line.starts_with("POST ");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        let answer = match answering {
            _ if !posts => FINE,
            Answering::Never => continue,
            Answering::After(delay, answer) => {
                thread::sleep(delay);
                answer
            }
        };
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

const CONNECTIONS: usize = 4;

fn stage(rate: f64) -> Stage {
    Stage { label: String::new(), rate: Some(rate), connections: CONNECTIONS, seconds: 0.3, settle: 0.0 }
}

/// Two stages and the drain, at far more than the connections can carry.
fn generated(answering: Answering) -> Generator {
    let mut generator = Generator::new(&server(answering), CONNECTIONS, 10, 618).unwrap();
    for rate in [1_000.0, 3_000.0] {
        generator.run(&stage(rate)).unwrap();
    }
    generator.drain(DELAY * 10).unwrap();
    for totals in &generator.stages {
        let Totals { offered, shed, accepted, refused, lost, unexpected, .. } = totals;
        assert_eq!(*offered, shed + accepted + refused + lost + unexpected, "each arrival once");
        assert!(*offered > 0 && *shed > 0, "{offered} offered, {shed} shed");
        assert_eq!(totals.lateness.count(), *offered, "of what was shed, too");
    }
    generator
}

fn sum(generator: &Generator, of: fn(&Totals) -> u64) -> u64 {
    generator.stages.iter().map(of).sum()
}

#[test]
fn answers_end_what_was_offered_and_latency_holds_the_servers_time() {
    let generator = generated(Answering::After(DELAY, CREATED));
    let accepted = sum(&generator, |totals| totals.accepted);
    assert_eq!((generator.posted, generator.unknown), (accepted, 0));
    for totals in &generator.stages {
        let least = DELAY.as_secs_f64() * 1_000.0;
        assert!(totals.latency.percentile_ms(1.0).is_some_and(|ms| ms >= 0.999 * least), "{least} ms");
    }
    let by_second: u64 =
        generator.seconds.iter().map(|second| second.accepted + second.accepted_earlier).sum();
    // What the drain took up is in no second.
    assert!((accepted - CONNECTIONS as u64..=accepted).contains(&by_second), "{by_second} of {accepted}");
    assert_eq!(sum(&generator, |totals| totals.probes_failed), 0);
}

#[test]
fn a_refusal_needs_its_moment() {
    let generator = generated(Answering::After(DELAY, REFUSED));
    assert!(sum(&generator, |totals| totals.refused) > 0 && generator.examples.is_empty());
    assert!(generator.stages.iter().all(|totals| totals.retry_after.iter().eq([&2])));
    let generator = generated(Answering::After(DELAY, NO_MOMENT));
    assert!(sum(&generator, |totals| totals.unexpected) > 0 && !generator.examples.is_empty());
    assert_eq!(generator.posted, 0);
    let generator = generated(Answering::After(DELAY, NOT_SURE));
    let unexpected = sum(&generator, |totals| totals.unexpected);
    assert!(unexpected > 0);
    assert_eq!((generator.unknown, sum(&generator, |totals| totals.refused)), (unexpected, 0));
}

#[test]
fn what_has_no_answer_is_lost_and_unknown() {
    let generator = generated(Answering::Never);
    let lost = sum(&generator, |totals| totals.lost);
    assert_eq!((lost, generator.unknown, generator.posted), (CONNECTIONS as u64, CONNECTIONS as u64, 0));
    assert_eq!(sum(&generator, |totals| totals.probes_failed), 0, "health answers");
}
