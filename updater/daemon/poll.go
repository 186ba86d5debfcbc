package daemon

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/proa-os/proa/updater/config"
	"github.com/proa-os/proa/updater/events"
)

// busyPause is how long another agent is left alone.
const busyPause = time.Minute

// pollOnce asks for news, goes as far with them as the policy says, and sets the
// time of the next poll.
func (d *Daemon) pollOnce(ctx context.Context) error {
	err := d.work(ctx, Checking, d.check)
	var network *NetworkError
	var wait time.Duration
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil, errors.Is(err, ErrRefused), errors.Is(err, ErrInterrupted):
		d.backoff.Succeeded()
		wait = d.pace().Next()
	case errors.Is(err, ErrBusy):
		wait = busyPause
	case errors.As(err, &network):
		wait = d.backoff.Failed(network.After)
	default:
		wait = d.backoff.Failed(0)
	}
	d.nextPoll = d.Now().Round(0).Add(wait)
	d.state.LastPoll = &Poll{When: d.Now().UTC().Truncate(time.Second), Error: oneLine(err)}
	d.state.Failures = d.backoff.Failures()
	return err
}

func (d *Daemon) check(ctx context.Context) error {
	offer, err := d.agent.Check(ctx)
	if err != nil {
		return err
	}
	d.tellOf(offer)
	switch {
	case !offer.News:
		d.ready = nil
		return nil
	case d.settings.Policy == config.CheckOnly:
		d.state.Found = offer.Version
		return nil
	case d.ready != nil && d.ready.Release == offer.Release:
		return nil
	}
	d.ready = nil
	d.doing(Staging, string(offer.Version))
	staged, err := d.agent.Stage(ctx)
	if err == nil && staged.News {
		d.ready = &staged
		d.reboot.prepare(staged.Release)
	}
	return err
}

// tellOf tells of news, once.
func (d *Daemon) tellOf(offer Offer) {
	if !offer.News || d.told == offer.Release {
		return
	}
	d.told = offer.Release
	d.Events.Event(events.Event{Kind: events.UpdateAvailable, Version: offer.Version, Fields: map[string]string{events.Release: offer.Release.String()}})
}

// failed tells of work that did not succeed, which no other event told of.
func (d *Daemon) failed(action string, err error) {
	d.Events.Event(events.Event{Kind: events.Failed, Text: oneLine(err), Fields: map[string]string{events.Action: action}})
}

// oneLine is an error as one line; empty for none.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
