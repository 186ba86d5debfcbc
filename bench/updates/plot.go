package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Of the drawing, in its own units.
const (
	plotWidth  = 760
	labelWidth = 190
	barHeight  = 14
	barStep    = 18
	pairStep   = 30
	plotLeast  = 1e3 // bytes: where the axis begins
)

// draw gives a bar for the bytes of each method on each pair, on a logarithmic
// scale: from pair to pair they are thousands of times as many.
func (r report) draw() string {
	most := 0.0
	height := 40
	for _, o := range r {
		height += pairStep + barStep*len(o.figures)
		for _, f := range o.figures {
			most = max(most, float64(f.Bytes))
		}
	}
	room := float64(plotWidth - labelWidth - 80)
	place := func(bytes float64) float64 {
		return max(room*math.Log(bytes/plotLeast)/math.Log(most/plotLeast), 1)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", plotWidth, height)
	b.WriteString(`<style>text{fill:#222}.line{stroke:#bbb}.any{fill:#9db4c8}.pair{fill:#d9b38c}.proa{fill:#2f6f4f}@media(prefers-color-scheme:dark){text{fill:#ddd}.line{stroke:#555}}</style>` + "\n")
	fmt.Fprintf(&b, `<text x="4" y="14">bytes of an update of the root image, logarithmic: green proa, blue others for any pair, brown others for one pair</text>`+"\n")
	for bytes := plotLeast; bytes <= most; bytes *= 10 {
		x := labelWidth + place(bytes)
		fmt.Fprintf(&b, `<line class="line" x1="%.1f" x2="%.1[1]f" y1="32" y2="%[2]d"/><text x="%.1[1]f" y="28" text-anchor="middle">%[3]s</text>`+"\n", x, height-4, power(bytes))
	}
	y := 36
	for _, o := range r {
		fmt.Fprintf(&b, `<text x="4" y="%d" font-weight="bold">%s</text>`+"\n", y+16, html.EscapeString(o.name))
		y += pairStep - 8
		figures := slices.Clone(o.figures)
		slices.SortFunc(figures, func(a, b figure) int { return int(a.Bytes - b.Bytes) })
		for _, f := range figures {
			class := "pair"
			switch {
			case f.Method == proaDelta || f.Method == proaIndex:
				class = "proa"
			case f.Method.any:
				class = "any"
			}
			long := place(float64(f.Bytes))
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-6, y+11, html.EscapeString(f.Method.name))
			fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>`, class, labelWidth, y, long, barHeight)
			fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`+"\n", labelWidth+long+4, y+11, megabytes(f.Bytes))
			y += barStep
		}
		y += 8
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// power is a power of ten, as people write bytes.
func power(bytes float64) string {
	switch {
	case bytes >= 1e6:
		return fmt.Sprintf("%.0f MB", bytes/1e6)
	default:
		return fmt.Sprintf("%.0f kB", bytes/1e3)
	}
}
