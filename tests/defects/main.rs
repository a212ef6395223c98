//! Known defects of older frameworks and drivers of this kind, each as a test.
//!
//! A module describes one defect, has a model of the old algorithm that is as small as shows the
//! failure, and holds the framework or the driver here against the same course of events. The table
//! is in `docs/defects.md`.

mod card;
mod hand;

mod d01_lost_unblock;
mod d02_reordering;
mod d03_hint;
mod d04_migration_use_after_free;
mod d05_detach_hang;
mod d06_closed_after_the_device;
mod d07_blocked_key_operation;
mod d08_feature_off_by_one;
mod d09_unregister_inverted;
mod d10_sessions_zeroed;
mod d11_no_quiescence;
mod d12_order_per_worker;
mod d13_sticky_keys;
mod d14_debug_only_rules;
mod d15_unload_with_queues;
mod d16_unbounded_queue;
mod d17_said_otherwise;
mod d18_stranded_hint;
mod d19_busy_as_an_error;
mod d20_busy_as_moved;
mod d21_no_backpressure;
mod d22_interrupt_for_nothing;
mod d23_overwritten_status;
mod d24_detach_does_not_wait;
mod d25_callbacks_under_a_lock;
mod d26_shared_iv;
mod d27_done_and_refused;
mod d28_one_error_for_all;
