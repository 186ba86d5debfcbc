package signing

import (
	"maps"
	"testing"
)

const target = "channels/demo/amd64/stable.json"

func TestHostFetchesWhatTheOwnerPublished(t *testing.T) {
	r := newRepository(t)
	h := r.newHost()
	r.publish(target, "one")
	mustFetch(t, h.mustRefresh(t), target, "one")
	r.publish(target, "two")
	mustFetch(t, h.mustRefresh(t), target, "two")

	before := h.trusted(t)
	mustFetch(t, h.mustRefresh(t), target, "two")
	if !maps.Equal(before, h.trusted(t)) {
		t.Error("a refresh without news changed the trusted state")
	}
	_, err := h.mustRefresh(t).Fetch(t.Context(), "channels/demo/amd64/beta.json")
	wantError(t, err, ErrNotFound)
}
