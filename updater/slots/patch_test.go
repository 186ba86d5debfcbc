package slots

import (
	"context"
	"errors"
	"testing"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/deltas/patch"
)

func TestPatchersAtWorkAndIdleStayWithinTheirMemory(t *testing.T) {
	small := needed(&deltas.Segment{Size: 1 << 20, References: []deltas.Range{{Size: 1 << 20}}})
	large := needed(&deltas.Segment{Size: patch.OutputMost, Method: patch.Unpacked, References: []deltas.Range{{Size: patch.ReferenceMost}}})
	if 2*small > patchesMemory || large != patchesMemory {
		t.Fatalf("%d and %d bytes: want two small ones at once, or the large one", small, large)
	}
	p := (&filler{}).newPatchers()
	take := func(need int64) *patcher {
		t.Helper()
		worker, err := p.take(t.Context(), need)
		if err != nil {
			t.Fatal(err)
		}
		if all := p.used + int64(len(p.idle))*patcherMemory; all > patchesMemory {
			t.Errorf("patchers have %d bytes: want at most %d", all, patchesMemory)
		}
		return worker
	}
	first, second := take(small), take(small)
	first.out = make([]byte, patch.OutputMost)
	p.giveBack(first, small)
	p.giveBack(second, small)
	if first.out != nil || len(p.idle) != 2 {
		t.Errorf("%d idle patchers, one with %d bytes: want two without", len(p.idle), len(first.out))
	}
	take(large)
	if len(p.idle) != 0 {
		t.Errorf("%d patchers are idle beside a large patch", len(p.idle))
	}
	full, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.take(full, small); !errors.Is(err, context.Canceled) {
		t.Errorf("a patch more than there is memory for: %v", err)
	}
}
