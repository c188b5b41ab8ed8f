# Sourced by .ci/run and .ci/long: where things are, and parts that are timed.

logs=target/ci
venv=$logs/venv
summary=()
failed=()

# part NAME COMMAND...: runs one part and notes its time and its outcome.
part() {
    local name=$1 start=$SECONDS outcome=ok
    shift
    printf '\n=== %s\n' "$name"
    if ! "$@"; then
        outcome=FAILED
        failed+=("$name")
    fi
    summary+=("$(printf '%-16s %4d s  %s' "$name" $((SECONDS - start)) "$outcome")")
}

# conclude: lists the times and the failures; false if there are some.
conclude() {
    printf '\n=== summary, %d s in all\n' "$SECONDS"
    printf '%s\n' "${summary[@]}"
    [ ${#failed[@]} -eq 0 ] && return
    printf 'failed: %s\n' "${failed[*]}"
    return 1
}

mkdir -p "$logs" || exit 2
part prepare .ci/prepare
if [ ${#failed[@]} -gt 0 ]; then
    echo "what the other parts need could not be installed"
    exit 2
fi
