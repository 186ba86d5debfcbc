package health

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// bootComplete is the target that a good boot reaches; see systemd.special(7).
const bootComplete = "boot-complete.target"

// requiredByBoot is a check of what boot-complete.target requires beside the judge: the
// target itself comes after the judge, so the judge waits for what the target would
// wait for.
func (c *Checks) requiredByBoot() []check {
	if c.Systemctl == "" {
		return nil
	}
	return []check{{
		name: bootComplete, timeout: c.Timeout, limit: c.Limit, lasting: true,
		attempt: func(ctx context.Context) error {
			target, err := c.show(ctx, bootComplete)
			if err != nil {
				return err
			}
			for _, name := range target.requires {
				if err := c.mustHaveSucceeded(ctx, name); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		},
	}}
}

// mustHaveSucceeded waits for a unit that need not stay: a oneshot service that ended
// well has done what the target requires of it. A unit that waits for the
// judge is left to the target.
func (c *Checks) mustHaveSucceeded(ctx context.Context, name string) error {
	if name == c.Judge {
		return nil
	}
	var waiting error
	for {
		s, err := c.show(ctx, name)
		if err != nil && waiting != nil && ctx.Err() != nil {
			return waiting
		}
		if err != nil {
			return err
		}
		ran := s.run != "" || s.code != 0
		switch {
		case s.isActive(), slices.Contains(s.after, c.Judge),
			s.active == "inactive" && (s.result == "success" && s.code != 0 || s.unmet):
			return nil
		case s.load != "loaded" || s.active == "failed" || s.active == "inactive" && ran:
			return s.fault()
		}
		waiting = fmt.Errorf("has not succeeded yet: %s", s.active)
		select {
		case <-ctx.Done():
			return waiting
		case <-time.After(c.Pause):
		}
	}
}
