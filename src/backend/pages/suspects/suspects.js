// /suspects
