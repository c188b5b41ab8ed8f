// Why a session ended, in words.

/** The meaning of close codes (RFC 6455, 7.4, and IANA's registry). */
const MEANINGS = new Map([
    [1000, "it was closed normally"],
    [1001, "the server is going away"],
    [1002, "the server found an error in the protocol"],
    [1003, "the server does not take this kind of data"],
    [1005, "the server gave no reason"],
    [1006, "the connection broke off"],
    [1007, "the server got invalid text"],
    [1008, "the server's rules do not allow it"],
    [1009, "a message was too large"],
    [1010, "the server lacks an extension"],
    [1011, "the server met a problem"],
    [1012, "the server is restarting"],
    [1013, "the server is busy: try again later"],
    [1014, "the server got a wrong answer from the one behind it"],
    [1015, "the server's certificate is not trusted"],
]);

/** Reasons that gateways send, in plain words. */
const REASONS = new Map([
    ["Target closed", "the other side has closed it"],
    ["Failed to connect to downstream server", "the gateway could not connect to its target"],
]);

/**
 * @param {{ code: number, reason: string }} event A CloseEvent.
 * @param {boolean} wasOpen Whether there was a session.
 * @returns {string} One or two sentences.
 */
export function ending({ code, reason }, wasOpen) {
    if (!wasOpen && code === 1006) {
        return "Not connected: nobody answers there, or the server refuses you (1006). It may be the address, the token, "
            + "a password or a certificate; browsers don't tell.";
    }
    const meaning = REASONS.get(reason) ?? MEANINGS.get(code) ?? "the server gave a code of its own";
    return `The session ended: ${meaning} (${reason === "" ? code : `${code}, ${reason}`}).`;
}
