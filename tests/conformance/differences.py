"""Tests of Celery's that pass on Celery's own parts and not on ours, each with the reason.

Only what cannot make sense on an engine in process, or on a key-value backend in memory, is listed.
The script fails if a test is missing here, and if one that is here passes. A name without its
`[parameters]` stands for all of them.
"""

from __future__ import annotations

from typing import Final

_CHANNELS: Final = "asks the Redis server which channels a client listens on; there is no server"

#: t/integration/test_tasks.py, on the engine.
ENGINE: Final = {
    "test_task_redis_result_backend": {
        "test_asyncresult_forget_cancels_subscription": _CHANNELS,
        "test_asyncresult_get_cancels_subscription": _CHANNELS,
    },
}

_ABSTRACT: Final = "expects NotImplementedError of an abstract class"
_COUNTS: Final = "is about chords of a backend that cannot count; this one can"
_MOCK: Final = "gives a request whose group is a Mock to a backend that makes a key of it"
_MOCKED_READ: Final = "replaces a hook that no key-value backend reads by"
_MOCKED_WRITE: Final = (
    "replaces the private `_store_result`, by which plain values do not go: what is in memory needs"
    " no second attempt"
)
_WAITS: Final = "counts polls; this one waits for a write, and does not poll"
_SUPPORTED: Final = "expects a warning that it is not supported, as on Celery's base class; it is"
_CLIENT: Final = "is about memcache: its clients, its URLs, its longest expiry"

#: t/unit/backends, on the fake backend.
BACKEND: Final = {
    "test_BaseBackend_interface": {
        "test__forget": _ABSTRACT,
        "test_forget": _ABSTRACT,
        "test_on_chord_part_return": _COUNTS,
        "test_apply_chord": _COUNTS,
        "test_chord_unlock_queue": _COUNTS,
        "test_chord_unlock_routing_options": _COUNTS,
        "test_chord_unlock_with_unknown_queue": _COUNTS,
        "test_chord_unlock_with_queue_without_exchange": _COUNTS,
        "test_chord_unlock_stamped_routing_options": _COUNTS,
    },
    "test_BaseBackend_dict": {
        "test_backend_hooks_get_positional_arguments": _MOCKED_WRITE,
        "test_add_to_chord_interface": _ABSTRACT,
        "test_forget_interface": _ABSTRACT,
        "test_task_result_exists_true": _MOCKED_READ,
        "test_task_result_exists_failure_state": _MOCKED_READ,
        "test_mark_as_failure__bound_errback_eager": _MOCK,
        "test_mark_as_failure__bound_errback": _MOCK,
        "test_mark_as_failure__errback": _MOCK,
        "test_class_based_task_can_be_used_as_error_callback": _MOCK,
        "test_unregistered_task_can_be_used_as_error_callback": _MOCK,
        "test_new_style_errback_exception_does_not_halt_chain": _MOCK,
        "test_wait_for__does_not_sleep_past_the_timeout": _WAITS,
    },
    "test_KeyValueStoreBackend": {
        "test_on_chord_part_return": _COUNTS,
        "test_chord_apply_fallback": _COUNTS,
        "test_get_many__does_not_sleep_past_the_timeout": _WAITS,
        "test_get_many__ids_completing_on_the_deadline_is_not_a_timeout": _WAITS,
    },
    "test_result_compression": {
        "test_stores_compressed_and_reads_back_older_results": (
            "gives a dict to the test's own backend, and looks for later writes in it"
        ),
        "test_ignored_when_the_backend_cannot_store_bytes": _SUPPORTED,
    },
    "test_KeyValueStoreBackend_interface": {
        "test_get": _ABSTRACT,
        "test_set": _ABSTRACT,
        "test_incr": _ABSTRACT,
        "test_delete": _ABSTRACT,
        "test_mget": _ABSTRACT,
        "test_forget": _ABSTRACT,
    },
    "test_as_uri": {
        "test_as_uri_include_password": "gives a URL with a password; this one has one URL",
        "test_as_uri_exclude_password": "gives a URL with a password; this one has one URL",
    },
    "test_backend_retries": {
        "test_store_result_never_retries": _MOCKED_WRITE,
        "test_store_result_with_retries": _MOCKED_WRITE,
        "test_store_result_with_retries_hook_failure_continues": _MOCKED_WRITE,
        "test_store_result_reaching_max_retries": _MOCKED_WRITE,
        "test_result_backend_not_thread_safe": "one instance serves all threads, whatever is set",
    },
    "test_failure_expires_support": {
        "test_warns_when_the_backend_does_not_support_it": _SUPPORTED,
    },
    "test_CacheBackend": {
        "test_no_backend": _CLIENT,
        "test_memory_client_is_shared": _CLIENT,
        "test_chord_uses_chord_expires": _CLIENT,
        "test_warns_on_chord_expires_over_30_days": _CLIENT,
        "test_mget": _CLIENT,
        "test_unknown_backend_raises_ImproperlyConfigured": _CLIENT,
        "test_as_uri_no_servers": _CLIENT,
        "test_as_uri_one_server": _CLIENT,
        "test_as_uri_multiple_servers": _CLIENT,
    },
}


def flat(table):
    """The reasons of a table by the full name of the test, as `class::test`."""
    return {
        f"{group}::{test}": why for group, tests in table.items() for test, why in tests.items()
    }
