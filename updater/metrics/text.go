package metrics

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

const (
	counter = "counter"
	gauge   = "gauge"
)

// family is the samples of one metric.
type family struct {
	name, kind, help string
	samples          []sample
}

type sample struct {
	labels []label
	value  float64
}

type label struct{ name, value string }

func single(name, kind, help string, value float64) family {
	return family{name, kind, help, []sample{{nil, value}}}
}

func byLabel(name string, values map[string]float64) []sample {
	var samples []sample
	for _, value := range slices.Sorted(maps.Keys(values)) {
		samples = append(samples, sample{[]label{{name, value}}, values[value]})
	}
	return samples
}

// format writes the text exposition format, version 0.0.4 (Prometheus
// documentation, "Exposition formats"). Families without samples are left out.
func format(families []family) []byte {
	value := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	var b strings.Builder
	for _, f := range families {
		if len(f.samples) == 0 {
			continue
		}
		b.WriteString("# HELP " + f.name + " " + f.help + "\n# TYPE " + f.name + " " + f.kind + "\n")
		for _, s := range f.samples {
			b.WriteString(f.name)
			for i, l := range s.labels {
				b.WriteString([]string{"{", ","}[min(i, 1)])
				b.WriteString(l.name + `="` + value.Replace(strings.ToValidUTF8(l.value, "\uFFFD")) + `"`)
			}
			if len(s.labels) > 0 {
				b.WriteByte('}')
			}
			b.WriteString(" " + strconv.FormatFloat(s.value, 'g', -1, 64) + "\n")
		}
	}
	return []byte(b.String())
}
