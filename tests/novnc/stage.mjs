// The programs of one case: started with their output in files, watched, and ended together.
//
// Each program leads a process group of its own, so that its children end with it; whoever waits for
// something learns at once when a program it depends on has ended.

import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** The directory of everything that these tests install or write, from `run`. */
export const WORK = process.env.work;

/** Debian's noVNC. */
export const DEBIAN = "/usr/share/novnc";

/** The program to try. */
export const GATEWAY = process.env.WEBSOCKIFY_BIN;

/** Milliseconds that one step may take. Steps take under a second; a loaded machine may be much slower. */
export const STEP_MS = 20_000;

/** Milliseconds that a program has to exit before it is killed, when a case is over. */
export const END_MS = 5_000;

export class Stage {
    #programs = [];
    #atEnd = [];

    /** A stage keeps its logs and scratch files in `folder`, which it empties. */
    constructor(folder) {
        this.folder = folder;
        rmSync(folder, { recursive: true, force: true });
        mkdirSync(folder, { recursive: true });
    }

    /** The path of a file in the folder. */
    file(name) {
        return `${this.folder}/${name}`;
    }

    /** The content of the file `name` so far; empty if it does not exist yet. */
    read(name) {
        try {
            return readFileSync(this.file(name), "latin1");
        } catch {
            return "";
        }
    }

    /** The names and contents of the logs that are not empty. */
    logs() {
        const names = readdirSync(this.folder).filter((name) => name.endsWith(".log"));
        return names.map((name) => [name, this.read(name)]).filter(([, log]) => log !== "");
    }

    /** The programs that were started and not stopped. */
    programs() {
        return [...this.#programs];
    }

    /** Starts a program. Its output goes to `NAME.log`, and its descriptor 3 to `NAME.out`. */
    start(name, command, env = {}) {
        const log = openSync(this.file(`${name}.log`), "a");
        const out = openSync(this.file(`${name}.out`), "a");
        const child = spawn(command[0], command.slice(1).map(String), {
            detached: true,
            stdio: ["ignore", log, log, out],
            env: { ...process.env, ...env },
        });
        closeSync(log);
        closeSync(out);
        const program = { name, child, ended: null };
        program.gone = new Promise((resolve) => {
            child.on("error", (error) => resolve((program.ended = String(error))));
            child.on("exit", (status, signal) => resolve((program.ended = `ended with ${signal ?? status}`)));
        });
        this.#programs.push(program);
        return program;
    }

    /** Waits until `check` returns something true, and returns it. */
    async until(what, check) {
        const deadline = Date.now() + STEP_MS;
        for (;;) {
            const found = await check();
            if (found) return found;
            const ended = this.#programs.find((program) => program.ended !== null);
            if (ended) throw new Error(`while waiting for ${what}: ${ended.name} ${ended.ended}`);
            if (Date.now() > deadline) throw new Error(`no ${what} within ${STEP_MS} ms`);
            await sleep(20);
        }
    }

    /** Ends one program with TERM and waits until `done` holds, too; returns how the program ended. */
    async stop(program, done = () => true) {
        this.#programs.splice(this.#programs.indexOf(program), 1);
        program.child.kill("SIGTERM");
        try {
            const over = () => program.ended !== null && done() && program.ended;
            return await this.until(`end of ${program.name}`, over);
        } finally {
            // Whatever it has left in its group is killed, too.
            killGroup(program);
        }
    }

    /** From now on ignores how a program ends. */
    forget(program) {
        this.#programs.splice(this.#programs.indexOf(program), 1);
    }

    /** Has `act` called when everything is ended, for what programs have left behind. */
    atEnd(act) {
        this.#atEnd.push(act);
    }

    /** Ends everything, in reverse order. */
    async clear() {
        for (const program of this.#programs.splice(0).reverse()) {
            program.child.kill("SIGTERM");
            await Promise.race([program.gone, sleep(END_MS, null, { ref: false })]);
            killGroup(program);
        }
        for (const act of this.#atEnd) {
            try {
                act();
            } catch {
                // It may be gone already.
            }
        }
    }
}

function killGroup(program) {
    try {
        process.kill(-program.child.pid, "SIGKILL");
    } catch {
        // The group is empty, or the program was never started.
    }
}

/** A TCP port on which nothing listens at the moment. */
export function freePort() {
    return new Promise((resolve, reject) => {
        const server = createServer();
        server.on("error", reject);
        server.listen(0, "127.0.0.1", () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

/**
 * Whether somebody listens on this TCP port, read from the kernel's table: a connection made only to find
 * out would count as an aborted client at the VNC server, and as a session at the gateway.
 */
export function listens(port) {
    const local = port.toString(16).toUpperCase().padStart(4, "0");
    return ["/proc/net/tcp", "/proc/net/tcp6"].some((table) =>
        readFileSync(table, "latin1")
            .split("\n")
            .map((line) => line.trim().split(/\s+/))
            .some((fields) => fields[3] === LISTEN && fields[1].endsWith(`:${local}`)),
    );
}

/** The state of a listening socket in /proc/net/tcp. */
const LISTEN = "0A";
