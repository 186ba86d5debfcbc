package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/proa-os/proa/updater/journal"
)

// scene is one thing that is done to a machine.
type scene struct {
	name  string
	guest *guest
	act   func(context.Context) error
}

// play plays the scenes of one machine, which go on where the one before ended. After
// one that failed the rest is skipped. The machine is off afterwards.
func (p *pair) play(ctx context.Context, scenes []scene) []Scene {
	var played []Scene
	for i, s := range scenes {
		p.say("%s", s.name)
		began, before := time.Now(), len(s.guest.boots)
		err := s.act(ctx)
		done := Scene{Name: s.name, Outcome: Passed}
		if err != nil {
			done.Outcome, done.Reason = Failed, err.Error()
			s.guest.witness(ctx, &done)
		}
		if err != nil || i == len(scenes)-1 {
			s.guest.powerCut()
		}
		done.Seconds, done.Boots = seconds(time.Since(began)), s.guest.boots[before:]
		p.say("%s: %s after %d s", s.name, done.Outcome, done.Seconds)
		played = append(played, done)
		if err != nil {
			return append(played, skip(scenes[i+1:])...)
		}
	}
	return played
}

func skip(scenes []scene) []Scene {
	var skipped []Scene
	for _, s := range scenes {
		skipped = append(skipped, Scene{Name: s.name, Outcome: Skipped, Reason: "the scene before it failed", Boots: []Boot{}})
	}
	return skipped
}

// witness keeps what a machine shows when a scene has failed.
func (g *guest) witness(ctx context.Context, s *Scene) {
	const lines = 40
	if g.boot == nil {
		return
	}
	s.Console = g.boot.Console(lines)
	picture := filepath.Join(filepath.Dir(g.boot.Log), strings.ReplaceAll(s.Name, " ", "-")+".png")
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := g.boot.Screenshot(ctx, picture)
	if err != nil && g.boot.Ended() {
		err = os.Rename(g.boot.LastPicture, picture)
	}
	if err == nil {
		if name, err := filepath.Rel(g.run.Dir, picture); err == nil {
			s.Picture = name
		}
	}
}

// cutInDownload switches the machine off while the new release is on its way. It must
// come back on the old one, go on, and arm the trial; then it is switched off again.
func (g *guest) cutInDownload(ctx context.Context) error {
	if err := g.powerOn(ctx, &visits{hold: g.writing()}); err != nil {
		return err
	}
	err := g.await(ctx, "waiting for the machine to download", lookEvery, func() (bool, error) {
		if g.visits.seen().held {
			return true, nil
		}
		record, err := g.journal()
		switch record.Phase {
		case journal.Verified, journal.Armed:
			return false, errTooFast
		}
		return false, err
	})
	if err != nil {
		return err
	}
	g.powerCut()
	if err := g.leads(oldSlot); err != nil {
		return fmt.Errorf("after the power cut: %w", err)
	}
	if err := g.powerOn(ctx, &visits{}); err != nil {
		return err
	}
	if err := g.await(ctx, "waiting for the machine to arm the trial", lookClosely, g.armed); err != nil {
		return err
	}
	if g.boot.Ended() {
		return fmt.Errorf("right after arming: %w", errTooFast)
	}
	g.powerCut()
	return nil
}

var errTooFast = errors.New("the machine went on before its power could be cut")

// writing tells from when on the machine writes the new release.
func (g *guest) writing() func() bool {
	var mu sync.Mutex
	var since bool
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		if !since {
			record, err := g.journal()
			since = err == nil && record.Phase == journal.Writing && record.Target != nil && record.Target.Release == g.run.to.Release
		}
		return since
	}
}

// cutAfterArming has the machine find itself switched off with a trial armed: the next
// boot must be the trial.
func (g *guest) cutAfterArming(ctx context.Context) error {
	if armed, err := g.armed(); err != nil || !armed {
		return errors.Join(errors.New("the trial did not outlive the power cut"), err)
	}
	if committed, err := g.committed(); err != nil || committed != oldSlot {
		return errors.Join(fmt.Errorf("slot %s leads: want slot %s until the trial has ended well", committed, oldSlot), err)
	}
	if err := g.powerOn(ctx, &visits{}); err != nil {
		return err
	}
	return g.await(ctx, "waiting for the trial", lookEvery, func() (bool, error) {
		next, err := g.trial()
		return err == nil && next == 0 && g.visits.seen().asked > 0, err
	})
}

// update waits until the new release has proved healthy, leads, and looks for updates
// itself.
func (g *guest) update(ctx context.Context) error {
	err := g.await(ctx, "waiting for the new release to lead", lookEvery, func() (bool, error) {
		committed, err := g.committed()
		return err == nil && committed == newSlot && g.polled(), err
	})
	if err != nil {
		return err
	}
	g.powerCut()
	if err := g.leads(newSlot); err != nil {
		return err
	}
	kernel, err := g.kernel(newSlot)
	if err == nil && kernel != g.run.kernel {
		err = fmt.Errorf("slot %s has another kernel image than release %s: %s", newSlot, g.run.to.Version, kernel)
	}
	if err != nil {
		return err
	}
	record, err := g.journal()
	if last := record.Last; err == nil && (last == nil || last.Version != g.run.to.Version || last.Outcome != journal.Committed) {
		err = fmt.Errorf("the machine has not noted that %s was committed", g.run.to.Version)
	}
	return err
}

// cutInTrial switches the machine off while its health is asked for. It must come back
// on the old release, and say why.
func (g *guest) cutInTrial(ctx context.Context) error {
	if err := g.powerOn(ctx, &visits{answers: answerSilent}); err != nil {
		return err
	}
	err := g.await(ctx, "waiting for the trial to be judged", lookEvery, func() (bool, error) { return g.visits.seen().asked > 0, nil })
	if err != nil {
		return err
	}
	g.powerCut()
	_, err = g.comesBack(ctx)
	return err
}

// failHealth has the new release fail its health check. The machine must reset itself,
// come back on the old release, and refuse the new one from then on.
func (g *guest) failHealth(ctx context.Context) error {
	if err := g.powerOn(ctx, &visits{answers: answerIll}); err != nil {
		return err
	}
	var leads bool
	err := g.await(ctx, "waiting for the trial to be given up", lookEvery, func() (bool, error) {
		committed, err := g.committed()
		leads = leads || err == nil && committed == newSlot
		return leads || g.boot.Ended(), err
	})
	if err != nil {
		return err
	}
	if leads {
		return errors.New("the new release leads although its health check failed")
	}
	g.powerCut()
	record, err := g.comesBack(ctx)
	if err != nil {
		return err
	}
	if blocked, ok := record.BlockOf(g.run.to.Release, nil); !ok {
		return errors.New("the new release is not blocked")
	} else if !strings.Contains(blocked.Reason, healthName) {
		return fmt.Errorf("the new release went back for another reason: %s", journal.Reason(blocked.Reason))
	}
	return nil
}

// comesBack boots the machine after a trial, until the old release is at work and has
// noted how the trial ended.
func (g *guest) comesBack(ctx context.Context) (record journal.Record, err error) {
	if err := g.leads(oldSlot); err != nil {
		return record, fmt.Errorf("after the trial: %w", err)
	}
	if err := g.powerOn(ctx, &visits{}); err != nil {
		return record, err
	}
	err = g.await(ctx, "waiting for the old release to come back", lookEvery, func() (back bool, err error) {
		record, back, err = g.wentBack()
		return back && g.polled(), err
	})
	if err == nil {
		g.powerCut()
		err = g.leads(oldSlot)
	}
	return record, err
}
