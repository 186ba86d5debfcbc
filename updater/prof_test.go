package updater_test

import (
	"context"
	"os"
	"testing"

	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/testhost"
)

func BenchmarkProf(b *testing.B) {
	image, err := os.ReadFile("/tmp/lab/updater/img")
	check(b, err)
	repo := testhost.NewRepository(b)
	old := testhost.NewRelease(b, testhost.Spec{Version: "1.0.0"})
	next := testhost.FromImage(b, testhost.Spec{Version: "1.1.0", ChunkSize: 4 << 20}, image)
	repo.Publish(b, next)
	for b.Loop() {
		b.StopTimer()
		host := testhost.NewSized(b, repo.URL, repo.Root(b), old, 560)
		b.StartTimer()
		_, err := host.Updater(b, nil).Update(context.Background(), updater.UpdateOptions{})
		check(b, err)
		b.StopTimer()
		os.RemoveAll(host.Dir)
		b.StartTimer()
	}
}
