package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/bench/workbench"
)

func TestWhatWasMeasuredIsKeptForTheSamePrograms(t *testing.T) {
	b := workbench.Bench{Kept: t.TempDir(), Programs: t.TempDir()}
	for _, name := range []string{"proa", "proa-agent", "proa-init"} {
		if err := os.WriteFile(filepath.Join(b.Programs, name), []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	k, err := keptResults(b)
	if err != nil {
		t.Fatal(err)
	}
	want := result{Size: 700e6, Figures: sample[0].figures, Index: 5, Plan: time.Second, Copy: workbench.Sample{Took: 3}, Load: 1.5}
	if _, known, err := k.read(pairs[0], steps[0]); known || err != nil {
		t.Errorf("%v, %v before it is written", known, err)
	}
	if err := k.write(pairs[0], steps[0], want); err != nil {
		t.Fatal(err)
	}
	if got, known, err := k.read(pairs[0], steps[0]); !known || err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read back as %+v, %v, %v: want %+v", got, known, err, want)
	}
	if _, known, _ := k.read(pairs[1], steps[0]); known {
		t.Error("another pair has it, too")
	}
	if err := os.WriteFile(filepath.Join(b.Programs, "proa-agent"), []byte("another"), 0o755); err != nil {
		t.Fatal(err)
	}
	if k, err = keptResults(b); err != nil {
		t.Fatal(err)
	}
	if _, known, err := k.read(pairs[0], steps[0]); known || err != nil {
		t.Errorf("%v, %v of another agent", known, err)
	}
}

// slow takes a minute, and has written something by then.
var slow = step{"slow", func(t *trial, ctx context.Context) ([]figure, error) {
	_, err := t.bench.Command(ctx, "mkdir -p old.tree half/written && sleep 60")
	return nil, err
}}

func TestAMethodThatTakesTooLongIsLeftOutAndLeavesNothing(t *testing.T) {
	on := &trial{size: 5, bench: workbench.Bench{Folder: t.TempDir()}}
	r, err := on.measure(t.Context(), slow, 200*time.Millisecond)
	if err != nil || r.Size != 5 || !strings.Contains(r.LeftOut, "slow: it takes more than 200ms") {
		t.Errorf("%+v, %v", r, err)
	}
	left, err := os.ReadDir(on.bench.Folder)
	if err != nil || len(left) != 1 || left[0].Name() != "old.tree" {
		t.Errorf("%v, %v is left", left, err)
	}
}

func TestAnInterruptedMethodIsNotLeftOut(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	on := &trial{bench: workbench.Bench{Folder: t.TempDir()}}
	if r, err := on.measure(ctx, slow, time.Hour); err == nil {
		t.Errorf("%+v", r)
	}
}

func TestAMethodThatNeedsTooMuchIsLeftOut(t *testing.T) {
	on := &trial{bench: workbench.Bench{Folder: t.TempDir()}}
	large := step{"large", func(*trial, context.Context) ([]figure, error) { return nil, leftOut("needs 5 GB") }}
	if r, err := on.measure(t.Context(), large, time.Hour); err != nil || r.LeftOut != "large: needs 5 GB" {
		t.Errorf("%+v, %v", r, err)
	}
	broken := step{"broken", func(*trial, context.Context) ([]figure, error) { return nil, errors.New("broken") }}
	if r, err := on.measure(t.Context(), broken, time.Hour); err == nil {
		t.Errorf("%+v", r)
	}
}

func TestProcessorsAreCountedOfAllProcessesOfACommand(t *testing.T) {
	b := workbench.Bench{Folder: t.TempDir()}
	s, err := b.Command(t.Context(), "(dd if=/dev/zero bs=1M count=100 status=none | sha256sum >/dev/null) && sleep 0.1")
	if err != nil || s.CPU <= 0 || s.Peak <= 0 || s.Took <= 100*time.Millisecond {
		t.Errorf("%+v, %v", s, err)
	}
	idle, err := b.Command(t.Context(), "sleep 0.3")
	if err != nil || idle.CPU > s.CPU {
		t.Errorf("%+v, %v: want less than %s of processors", idle, err, s.CPU)
	}
}
