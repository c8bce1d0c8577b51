package etcdkv

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// refusals are the answers after which a transaction has certainly not happened and never will: etcd gives them before it
// proposes it, or when it applies it.
var refusals = []error{
	rpctypes.ErrNoSpace, rpctypes.ErrRequestTooLarge, rpctypes.ErrTooManyOps, rpctypes.ErrDuplicateKey, rpctypes.ErrTooManyRequests,
	rpctypes.ErrCorrupt, rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty,
}

// outcome sorts the error of a commit into refused and unknown.
func (kv *KV) outcome(err error) error {
	explained := kv.explain(err)
	for _, r := range refusals {
		if errors.Is(err, r) {
			return &state.RefusedError{Reason: explained}
		}
	}
	return fmt.Errorf("etcd: %w", explained)
}

// explain makes errors that an operator can mend into ones that say how.
func (kv *KV) explain(err error) error {
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		kv.noSpace()
		return fault.Wrap(err, fault.Unavailable,
			"The control plane's database is full: etcd's quota is used up, so that nothing can be written. Compact, defragment and disarm its alarm, or raise its quota.")
	case errors.Is(err, rpctypes.ErrRequestTooLarge), errors.Is(err, rpctypes.ErrTooManyOps):
		return fault.Wrap(errors.Join(state.ErrTooLarge, err), fault.Server,
			"The control plane's etcd takes smaller transactions only than it was said to (%d operations, %d bytes).", kv.limits.Ops, kv.limits.Bytes)
	case errors.Is(err, rpctypes.ErrTooManyRequests):
		return fault.Wrap(err, fault.Unavailable, "The control plane's etcd is overloaded. Try again.")
	case errors.Is(err, rpctypes.ErrCorrupt):
		return fault.Wrap(err, fault.Unavailable, "The control plane's etcd says that its data is corrupt. Restore it from a backup.")
	}
	return err
}
