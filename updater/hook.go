package updater

import (
	"context"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/hooks"
	"github.com/proa-os/proa/updater/journal"
)

// askHooks lets whatever hangs on the update refuse it.
func (u *Updater) askHooks(ctx context.Context, version manifests.Version) error {
	err := u.Hooks.Run(ctx, hooks.UpdateBefore)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	u.hookFailed(hooks.UpdateBefore, err)
	return refuse(version, "%v", err)
}

// announce starts what hangs on the hook. Nothing depends on it any more.
func (u *Updater) announce(ctx context.Context, hook hooks.Hook) {
	if err := u.Hooks.Announce(ctx, hook); err != nil {
		u.hookFailed(hook, err)
	}
}

func (u *Updater) hookFailed(hook hooks.Hook, err error) {
	u.emit(events.Event{Kind: events.HookFailed, Text: journal.Reason(err.Error()), Fields: map[string]string{events.Unit: string(hook)}})
}
