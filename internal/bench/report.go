package bench

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Table writes the figures for people.
func (r *Report) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MEASUREMENT\tFIGURE\tGOAL\tMET\tWITH")
	for i := range r.Figures {
		f := &r.Figures[i]
		met := ""
		if f.Goal != 0 {
			met = "no"
			if f.Met() {
				met = "yes"
			}
		}
		fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%s\n", f.Measurement, number(f.Value), f.Unit, f.goal(), met, f.With)
	}
	return t.Flush()
}

// Markdown writes them as docs/performance.md has them.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s.\n\n| measurement | figure | goal |\n| --- | ---: | ---: |\n", r.Machine, r.At.Format("2006-01-02"))
	for i := range r.Figures {
		f := &r.Figures[i]
		value := number(f.Value) + " " + f.Unit
		if !f.Met() {
			value = "**" + value + "**"
		}
		with := f.With
		if f.Note != "" {
			with += " (" + f.Note + ")"
		}
		fmt.Fprintf(&b, "| %s: %s | %s | %s |\n", f.Measurement, with, value, f.goal())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// number writes a value with three digits that mean something, and thousands apart.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 || math.Abs(v) >= 1000 {
		if math.Abs(v) >= 10_000 && v != math.Trunc(v) {
			v = math.Round(v/10) * 10
		}
		s := strconv.FormatInt(int64(math.Round(v)), 10)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func quantile(v []float64, q float64) float64 { return at(slices.Sorted(slices.Values(v)), q) }

// Plot draws each series into a file: how many tasks are with agents and how many run, and how many are placed each second. The
// name's end says the kind: svg, png or pdf.
func (r *Report) Plot(file string) error {
	if len(r.Series) == 0 {
		return fmt.Errorf("nothing to draw: the measurement million makes the picture")
	}
	s := r.Series[len(r.Series)-1]
	tasks, rate := plot.New(), plot.New()
	tasks.Title.Text = s.Name
	tasks.Y.Label.Text, rate.Y.Label.Text, rate.X.Label.Text = "tasks", "placed/s", "seconds"
	tasks.Legend.Top, tasks.Legend.Left = true, true
	var assigned, running, placed plotter.XYs
	for i, at := range s.Samples {
		assigned = append(assigned, plotter.XY{X: at.Seconds, Y: float64(at.Assigned)})
		running = append(running, plotter.XY{X: at.Seconds, Y: float64(at.Running)})
		if i > 3 { // a rate over a second
			before := s.Samples[i-4]
			placed = append(placed, plotter.XY{X: at.Seconds, Y: float64(at.Assigned-before.Assigned) / (at.Seconds - before.Seconds)})
		}
	}
	blue, green := color.RGBA{R: 31, G: 119, B: 180, A: 255}, color.RGBA{R: 44, G: 160, B: 44, A: 255}
	for _, l := range []struct {
		on    *plot.Plot
		name  string
		xys   plotter.XYs
		color color.Color
	}{{tasks, "with their agents", assigned, blue}, {tasks, "running", running, green}, {rate, "", placed, blue}} {
		if len(l.xys) == 0 {
			continue
		}
		line, err := plotter.NewLine(l.xys)
		if err != nil {
			return fmt.Errorf("draw: %w", err)
		}
		line.Color, line.Width = l.color, vg.Points(1.5)
		l.on.Add(line)
		if l.name != "" {
			l.on.Legend.Add(l.name, line)
		}
	}
	for _, p := range []*plot.Plot{tasks, rate} {
		p.Add(plotter.NewGrid())
		p.Y.Min = 0
		p.X.Min = 0
		p.Y.Tick.Marker = thousands{}
	}
	return save(file, tasks, rate)
}

// thousands are ticks written as number does.
type thousands struct{}

func (thousands) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = number(ticks[i].Value)
		}
	}
	return ticks
}

// save draws plots one above another.
func save(file string, plots ...*plot.Plot) error {
	const width, height = 16 * vg.Centimeter, 14 * vg.Centimeter
	_, kind, _ := strings.Cut(file[strings.LastIndexByte(file, '/')+1:], ".")
	canvas, err := draw.NewFormattedCanvas(width, height, kind)
	if err != nil {
		return fmt.Errorf("draw %s: %w", file, err)
	}
	grid := make([][]*plot.Plot, len(plots))
	for i, p := range plots {
		grid[i] = []*plot.Plot{p}
	}
	tiles := draw.Tiles{Rows: len(plots), Cols: 1, PadY: vg.Points(8)}
	for i, row := range plot.Align(grid, tiles, draw.New(canvas)) {
		plots[i].Draw(row[0])
	}
	return write(file, canvas)
}
