# Simulated inputs and reference numbers of the selection models.
# Run: Rscript selection_simulated.R    (sampleSelection 1.2-12, maxLik 1.5-2, R 4.2.2, 2026-11-23)
# The first data set is the tobit-2 example of Toomet and Henningsen (2008, doi:10.18637/jss.v027.i07),
# whose draws are made here without their package mvtnorm; it is written by this script.
# The second one, selection_binary.csv.gz, is a simulation of our own: x, z and the errors normal,
# s from z and x, y from x with the errors' correlation .5; its draws are kept, not remade.
set.seed(0)
sigma <- matrix(c(1, -0.7, -0.7, 1), 2, 2)
ev <- eigen(sigma, symmetric = TRUE)
root <- t(ev$vectors %*% (t(ev$vectors) * sqrt(ev$values)))
eps <- matrix(rnorm(1000), nrow = 500, byrow = TRUE) %*% root
xs <- runif(500); ys <- xs + eps[, 1] > 0
xo <- runif(500); yo <- (xo + eps[, 2]) * (ys > 0)
write.csv(data.frame(xs, ys = as.integer(ys), xo, yo), "selection_tobit2.csv", row.names = FALSE)

library(sampleSelection)
for (method in c("2step", "ml"))
  print(summary(selection(ys ~ xs, yo ~ xo, method = method)), digits = 15)
b <- read.csv("selection_binary.csv.gz")
# maxMethod BHHH: its standard errors are those of the outer product of the gradients.
print(summary(selection(s ~ z + x, y ~ x, data = b)), digits = 15)

# Mroz's women, as in Greene (2003), example 22.8, and Wooldridge (2002), example 17.6.
data("Mroz87")
Mroz87$kids <- Mroz87$kids5 + Mroz87$kids618 > 0
for (method in c("2step", "ml")) {
  print(summary(selection(lfp ~ age + I(age^2) + faminc + kids + educ,
                          wage ~ exper + I(exper^2) + educ + city, Mroz87, method = method)))
  print(summary(selection(lfp ~ nwifeinc + educ + exper + I(exper^2) + age + kids5 + kids618,
                          log(wage) ~ educ + exper + I(exper^2), Mroz87, method = method)))
}
