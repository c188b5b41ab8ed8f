// WebSockets without a network.

/** A channel that a test drives by hand: it keeps what is sent. */
export class FakeChannel {
    binaryType = "blob";
    protocol = "";
    onopen = null;
    onmessage = null;
    onerror = null;
    onclose = null;
    /** The messages that were sent, as arrays. */
    sent = [];
    /** What `close` was called with. */
    closed = [];

    constructor(readyState = 0) {
        this.readyState = readyState;
    }

    send(data) {
        this.sent.push([...data]);
    }

    close(...how) {
        if (how.length > 0 && how[0] !== 1000 && !(how[0] >= 3000 && how[0] <= 4999)) {
            throw new RangeError(`no such code: ${how[0]}`);
        }
        this.closed.push(how);
        this.readyState = 2;
    }

    /** The connection is made. */
    opens() {
        this.readyState = 1;
        this.onopen?.(new Event("open"));
    }

    /** A binary message comes. */
    receives(...bytes) {
        this.onmessage?.({ data: Uint8Array.from(bytes).buffer });
    }

    /** A text message comes. */
    receivesText(data) {
        this.onmessage?.({ data });
    }

    /** The connection has ended. */
    ends(code, reason = "", wasClean = true) {
        this.readyState = 3;
        this.onclose?.(Object.assign(new Event("close"), { code, reason, wasClean }));
    }
}
