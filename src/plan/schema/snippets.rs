//! What editors offer to insert: `${1:...}` is a place to fill in, with what stands there to begin with.

use serde_json::{Value, json};

pub(super) fn plan() -> Value {
    json!([{
        "label": "rolling reboot",
        "description": "A plan that drains, reboots and enables one worker after the other.",
        "body": {
            "version": 1,
            "name": "${1:rolling-reboot}",
            "rollout": { "concurrency": 1, "max_failures": 0 },
            "steps": ["disable", "deploy", "reboot", "wait_for_ssh", "enable", "deploy", "health"],
        },
    }])
}

pub(super) fn rollout() -> Value {
    json!([{
        "label": "canary first",
        "description": "One worker, a pause, then the others two at a time.",
        "body": { "waves": [1, "rest"], "concurrency": 2, "max_failures": 1, "soak": "${1:10m}" },
    }])
}

pub(super) fn window() -> Value {
    json!([{
        "label": "at night",
        "description": "New workers are started only then.",
        "body": { "timezone": "${1:Europe/Berlin}", "open": "${2:22:00}", "close": "${3:05:00}" },
    }])
}

pub(super) fn retries() -> Value {
    json!([{
        "label": "three attempts",
        "description": "Each delay is twice the one before.",
        "body": { "attempts": 3, "delay": "${1:10s}", "backoff": 2 },
    }])
}

pub(super) fn steps() -> Value {
    json!([
        {
            "label": "run",
            "description": "A shell command on the worker, repeated only where that is safe.",
            "body": {
                "id": "${1:patch}",
                "run": { "command": "${2:uptime}", "idempotent": true },
                "timeout": "${3:10m}",
            },
        },
        {
            "label": "reboot where it is needed",
            "description": "The worker's own tools and kernels decide whether it needs it.",
            "body": { "reboot": { "unless": "not_required", "expect": { "kernel": "${1:newest}" } } },
        },
        {
            "label": "wait_for_ssh with a longer settle time",
            "description": "The worker has to stay up that long.",
            "body": { "wait_for_ssh": { "settle": "${1:30s}" }, "timeout": "${2:15m}" },
        },
        {
            "label": "approve",
            "description": "Waits until an operator says so.",
            "body": { "approve": { "message": "${1:Is it well?}" } },
        },
    ])
}

pub(super) fn prepare() -> Value {
    json!([
        {
            "label": "download",
            "description": "A shell command on the worker that may be repeated.",
            "body": {
                "id": "${1:download}",
                "run": { "command": "${2:sudo apt-get update && sudo apt-get -dy upgrade}", "idempotent": true },
                "timeout": "${3:15m}",
            },
        },
        {
            "label": "check the disk",
            "description": "A worker without enough space is not touched.",
            "body": {
                "id": "${1:disk}",
                "run": { "command": "test $(df --output=avail -k / | tail -n 1) -gt ${2:2000000}", "idempotent": true },
            },
        },
    ])
}

pub(super) fn once() -> Value {
    json!([
        {
            "label": "local",
            "description": "A shell command on this machine, in the bucket.",
            "body": {
                "id": "${1:announce}",
                "local": { "command": "${2:echo it begins}", "idempotent": true },
            },
        },
        {
            "label": "health of the fleet",
            "description": "All jobs on all workers.",
            "body": { "health": { "scope": "fleet" }, "timeout": "${1:10m}" },
        },
    ])
}
