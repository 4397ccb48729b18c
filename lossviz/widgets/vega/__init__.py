"""What every figure is drawn with: expressions, colours, marks, panels and contours in Vega."""
