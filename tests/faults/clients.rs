//! Clients that vanish at the moments that matter to what outlives them.

use crate::played_provider::{gated, logs_in};

/// A session counts as the gate's login as long as it is open. One whose client was gone before it began is not.
#[test]
fn a_client_that_breaks_off_while_it_is_signed_in_does_not_hold_the_gate_open() {
    let mut rig = gated("0s", |_| {});
    let mut client = rig.pop3();
    client.ask("USER home", "+OK");
    client.say("PASS x");
    let mut server = rig.pop.pop3("PASS");
    client.reset();
    server.say("+OK in");
    server.rest();
    assert!(logs_in(&rig), "the session of a client that is gone counts for ever");
    rig.run.end_well();
}
