package builder

import (
	"reflect"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/strictyaml"
)

func TestTheImageTellsItsAgentWhatTheRecipeSays(t *testing.T) {
	recipe, err := manifests.ParseRecipe("recipe.yaml", []byte(`
product: test
sources: [{tar: root.tar}]
update: {repository: "https://os.example.org/\"%20x", channel: beta, root: root.json}
health:
  - unit: 'a\x2db.service'
  - {name: gateway.http, http: "http://localhost:8080/ready?a=1&b=<2>", status: [200, 204], timeout: 5s, limit: 1m30s}
  - {http: "https://api/", socket: "/run/a \u00e9.sock", status: 503}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, health := range [][]manifests.HealthCheck{recipe.Health, nil} {
		recipe.Health = health
		text, err := (&build{Config: Config{Recipe: recipe}}).agentConfig()
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Repository string                  `yaml:"repository"`
			Channel    string                  `yaml:"channel"`
			Health     []manifests.HealthCheck `yaml:"health"`
		}
		if err := strictyaml.Decode("agent.yaml", text, &got).Err(); err != nil {
			t.Fatalf("%v in:\n%s", err, text)
		}
		if got.Repository != recipe.Update.Repository || got.Channel != "beta" || !reflect.DeepEqual(got.Health, health) {
			t.Errorf("got %+v from:\n%s\nwant %+v", got, text, recipe)
		}
	}
}
